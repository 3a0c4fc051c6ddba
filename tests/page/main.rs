//! The page of `harness report` in a real browser: that it draws itself, alone, whatever is in the journal.
//!
//! Skipped with a word where there is no Chromium.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests start things, and wait

#[path = "../support/mod.rs"]
mod support;

mod browser;

use std::io::Write;

use serde_json::{Value, json};

use browser::Browser;
use support::Folder;

/// Measurements whose figures are printed, so that they are the same everywhere; with what fails, what is compared, and
/// names that would be markup.
const CAMPAIGN: &str = r#"
local pool <close> = spawn { slots = 1 }
local function prints(name, params, value, options)
  options = options or {}
  options.name, options.params, options.objective = name, params, "x"
  options.cmd = { "sh", "-c", "echo x: " .. value }
  options.metrics = { x = { "x: ([%d.]+)", unit = "GB/s", better = "more" } }
  options.exclusive = false
  return submit(measure(options))
end
local all = {}
for _, tile in ipairs { 8, 16, 32 } do
  for _, flags in ipairs { "-O2", "-O3" } do
    for _, threads in ipairs { 1, 2 } do
      local value = tile / 8 * threads + (flags == "-O3" and 0.5 or 0)
      all[#all + 1] = prints("gemm", { tile = tile, flags = flags, threads = threads }, value, { runs = tile == 8 and 3 or 8, warmup = 0 })
    end
  end
end
all[#all + 1] = submit(measure { name = "gemm", params = { tile = 64 }, cmd = { "sh", "-c", "echo '<b>no</b>' >&2; exit 3" }, runs = 2, objective = "x",
  metrics = { x = { "x: ([%d.]+)", unit = "GB/s", better = "more" } } })
all[#all + 1] = prints("</script><img src=x onerror=hacked=1>", { ["__proto__"] = "<i>{a|b}", key = "${hacked=1}", constructor = 7 }, 1, { runs = 8 })
all[#all + 1] = prints("</script><img src=x onerror=hacked=1>", { ["__proto__"] = "<!--<script>", key = "'\"><svg onload=hacked=1>" }, 2, { runs = 8 })
wait(all)
await(submit(compare { name = "<u>final</u>", base = { cmd = { "sh", "-c", "echo x: 1" } }, ["<s>tiled"] = { cmd = { "sh", "-c", "echo x: 2" } },
  objective = "x", metrics = { x = { "x: ([%d.]+)", better = "more" } }, max_rounds = 20 }))
"#;

/// The best of the first search says 25 in eight runs, and 400 and 1 in turns when it is measured afresh; its baseline 100.
const SEARCH: &str = r#"
local search = require("harness").search
local function tune(name, baseline)
  search.run { name = name, space = { a = { 1, 2, 3 } }, strategy = "grid", in_flight = 1, baseline = baseline,
    confirm = { top = 1, max_rounds = 9 }, evaluate = function(p)
      local turns = "echo >>turns; n=$(wc -l <turns); if [ $n -le 8 ]; then echo x: 25; elif [ $((n % 2)) = 0 ]; then echo x: 400; else echo x: 1; fi"
      local says = baseline and p.a == 3 and turns or "echo x: " .. (p.a == 9 and 100 or p.a)
      return measure { name = name, params = p, cmd = { "sh", "-c", says }, runs = 8, warmup = 0,
        objective = "x", metrics = { x = { "x: ([%d.]+)", better = "more" } } }
    end }
end
tune("given", { a = 9 })
tune("alone")
"#;

fn measured() -> Folder {
    let folder = Folder::with(CAMPAIGN);
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

/// The page of such a campaign in a browser, if there is one; `change` does something to its journal before.
fn opened(change: impl FnOnce(&Folder)) -> Option<(Folder, Browser)> {
    if browser::none() {
        return None;
    }
    let folder = measured();
    change(&folder);
    let ran = folder.run(&["report", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut browser = Browser::start();
    browser.open(&format!("file://{}", folder.path("c.lua.html").display()));
    Some((folder, browser))
}

#[track_caller]
fn assert_calm(browser: &mut Browser) {
    let (complaints, requests) = browser.complaints_and_requests();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let others: Vec<_> =
        requests.iter().filter(|url| !url.starts_with("file://") && !url.starts_with("data:,")).collect();
    assert!(others.is_empty() && requests.len() <= 2, "{requests:#?}");
}

fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let selector = json!(selector);
    let found =
        browser.value(&format!("[...document.querySelectorAll({selector})].map((e) => e.textContent)"));
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_chart_is_drawn_without_a_network_and_without_a_complaint() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    assert_calm(&mut browser);
    // In view or not: what is further below is drawn when it comes into view.
    assert_eq!(
        browser.value("document.querySelectorAll('#chart-timeline svg, #chart-timeline canvas').length"),
        0
    );
    browser.value("$('timeline').scrollIntoView()");
    browser.until("document.querySelectorAll('#chart-timeline svg, #chart-timeline canvas').length === 1");
    browser.value("drawAll()");
    let charts = browser.value(
        "Object.fromEntries([...document.querySelectorAll('.chart')].map((chart) => [chart.id.slice(6), [Number(chart.dataset.drawn), chart.querySelectorAll('svg path, svg text').length]]))",
    );
    let names: Vec<&String> = charts.as_object().unwrap().keys().collect();
    let all =
        ["boxes", "ecdf", "effect", "heat", "parallel", "ratios-0", "scaling", "timeline", "trajectory"];
    assert_eq!(names, all);
    for (name, drawn) in charts.as_object().unwrap() {
        assert!(drawn[0].as_u64() > Some(0) && drawn[1].as_u64() > Some(3), "{name}: {drawn}");
    }
    // And the same for who cannot see it: a sentence, and the figures.
    browser.value("document.querySelectorAll('.below').forEach((below) => { below.open = true; })");
    browser.until("[...document.querySelectorAll('.below')].every((below) => below.querySelectorAll('tbody tr').length > 0)");
    let said = texts(&mut browser, "figure .says");
    assert!(said.len() == all.len() && said.iter().all(|text| text.len() > 20), "{said:#?}");
    assert!(said.iter().any(|text| text.contains("The base is ")), "no speed-up without its base: {said:#?}");
    assert_calm(&mut browser);
}

#[test]
fn what_is_best_what_failed_and_what_is_in_doubt_stands_at_the_top() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    let best = texts(&mut browser, "#summary .best tbody tr:first-child > *");
    assert_eq!(
        best[1..6],
        ["flags=-O3 threads=2 tile=32", "8.500 GB/s", "[8.500, 8.500]", "8", "8.50×"],
        "{best:?}"
    );
    assert!(best[6].starts_with("1.000 GB/s, n = 3 (below 7 no interval)"), "{best:?}");
    assert!(best[7].starts_with("not confirmed"), "{best:?}");
    let summary = texts(&mut browser, "#summary .card").join("\n");
    assert!(summary.contains("1 failure1× measure nonzero_exit"), "{summary}");
    let verdicts = texts(&mut browser, "#comparisons tbody:first-of-type td:nth-child(2)");
    assert_eq!(verdicts[..2], ["the base", "faster"]);
}

/// The first trial is no base, and rounds that did not tell leave it open.
#[test]
fn the_best_of_a_search_is_beside_its_baseline() {
    if browser::none() {
        return;
    }
    let folder = Folder::with(SEARCH);
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(folder.run(&["report", "c.lua"]).code, Some(0));
    let mut browser = Browser::start();
    browser.open(&format!("file://{}", folder.path("c.lua.html").display()));
    let rows = texts(&mut browser, "#summary .best tbody tr");
    let best_of =
        |name: &str| rows.iter().find(|row| row.contains(name)).unwrap_or_else(|| panic!("{rows:#?}"));
    let given = best_of("given");
    assert!(given.contains("the baseline of the search") && given.contains("0.25×"), "{given}");
    assert!(given.contains("openin turns with base a=9 the rounds did not tell"), "{given}");
    let alone = best_of("alone");
    assert!(alone.contains("–its search had no baseline"), "{alone}");
    assert_calm(&mut browser);
}

#[test]
fn the_table_is_sorted_and_searched_by_keyboard() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    let figures = "#measurements tbody tr:not(.failed) td:nth-child(8)";
    browser.value("[...document.querySelectorAll('#measurements thead button')].find((b) => b.textContent === 'median').focus()");
    let sorted = "document.activeElement.closest('th').getAttribute('aria-sort')";
    assert_eq!(browser.value(sorted), "none");
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value(sorted), "ascending");
    let up = texts(&mut browser, figures);
    assert_eq!((up.len(), up[0].as_str(), up[13].as_str()), (14, "1.000 GB/s", "8.500 GB/s"), "{up:?}");
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value(sorted), "descending");
    let down = texts(&mut browser, figures);
    assert!(down.iter().rev().eq(&up) && down.first() == up.last(), "{down:?}");
    // What has no figure comes last, either way.
    assert_eq!(
        browser.value("document.querySelector('#measurements tbody tr:last-child').className"),
        "failed"
    );

    browser.value("$('query').focus()");
    browser.write("tile>=16 flags=-O3");
    browser.until("$('shown').textContent.startsWith('4 of 15 measurements')");
    assert_eq!(texts(&mut browser, "#measurements tbody tr").len(), 4);
    browser.value("$('query').select()");
    browser.write("nonzero_exit");
    browser.until("$('shown').textContent.startsWith('1 of 15 measurements')");
    browser.value("document.querySelector('#measurements .open').focus()");
    browser.press("Enter", 13, "\r");
    let detail = texts(&mut browser, "#measurements .detail").join("\n");
    assert!(detail.contains("<b>no</b>") && detail.contains("harness rerun "), "{detail}");
    assert_calm(&mut browser);
}

/// What of a record is text of others that the page shows, beside names and parameters; of `flags` and the like each.
const TEXTS: [&str; 20] = [
    "argv",
    "cgroup_cpu_max",
    "cmdline",
    "cpu_model",
    "flags",
    "governor",
    "host",
    "hosts",
    "kernel",
    "libc",
    "microcode",
    "modules",
    "mpi",
    "reason",
    "script",
    "stderr_tail",
    "thp",
    "unit",
    "version",
    "what",
];

/// Gives every such text markup that says what it was; where there was none, too, if it is a text or a list of these.
fn mark_up(value: &mut Value, name: &str) {
    match value {
        Value::String(text) if TEXTS.contains(&name) => text.push_str(&markup(name)),
        Value::Null if ["governor", "mpi"].contains(&name) => *value = markup(name).into(),
        Value::Null if ["hosts", "modules"].contains(&name) => *value = json!([markup(name)]),
        Value::Null if name == "same_as" => *value = json!({ "id": "", "what": markup("what") }),
        Value::Array(items) if name == "flags" => items.push(markup(name).into()),
        Value::Array(items) => items.iter_mut().for_each(|item| mark_up(item, name)),
        Value::Object(fields) if name == "env_delta" => {
            fields.insert(markup("variable"), markup("value").into());
        }
        // What was asked for is not shown, and decides what is the same.
        Value::Object(fields) => {
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "asked")
                .for_each(|(name, field)| mark_up(field, name));
        }
        _ => {}
    }
}

/// No `/`: of a path the end is shown.
fn markup(name: &str) -> String {
    format!("<b>{name}<img src=x onerror=hacked=1><script>hacked=1")
}

/// Of the whole journal.
fn with_markup(folder: &Folder) {
    let marked = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let kind = record["type"].take();
        // A header stays as it begins.
        if kind == "header" {
            return line.replace("/c.lua\"", &format!("/c.lua{}\"", markup("script"))) + "\n";
        }
        if kind == "measurement" {
            record["code"] = json!({ "git_commit": markup("git_commit"), "dirty": true });
        }
        record.as_object_mut().unwrap().remove("type");
        mark_up(&mut record, "");
        // `type` is what a line begins with.
        record.to_string().replacen('{', &format!(r#"{{"type":{kind},"#), 1) + "\n"
    };
    let text = folder.read("c.lua.journal");
    folder.write("c.lua.journal", text.lines().map(marked).collect::<String>());
}

#[test]
fn everything_a_journal_says_is_text_in_the_page() {
    let Some((_folder, mut browser)) = opened(with_markup) else { return };
    browser.value("drawAll(); document.querySelectorAll('details').forEach((d) => { d.open = true; }); document.querySelectorAll('.open').forEach((b) => b.click())");
    browser.value("report.data.measurements.forEach((row) => document.body.append(tipOf(row)))");
    assert_calm(&mut browser);
    assert_eq!(browser.value("typeof hacked"), "undefined");
    assert_eq!(
        browser.value("document.querySelectorAll('main img, main script, main b, [onerror]').length"),
        0
    );
    let text = browser.value("document.body.textContent");
    let others = ["git_commit", "value", "variable"];
    let missing: Vec<_> =
        TEXTS.iter().chain(&others).filter(|name| !text.as_str().unwrap().contains(&markup(name))).collect();
    assert!(missing.is_empty(), "not in the page as text: {missing:?}");
}

#[test]
fn what_a_journal_says_is_never_markup() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    browser.value(
        "report.subject = report.subjects.find(({ name }) => name.includes('img')); drawSubject(); drawAll()",
    );
    browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; }); document.querySelectorAll('.open').forEach((b) => b.click())");
    // Tips are made as elements, too.
    browser.value("document.body.append(tipOf(report.subject.best), h('p', {}, report.subject.best.name))");
    assert_calm(&mut browser);
    assert_eq!(browser.value("typeof hacked"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('main img, main script, main b, main u, main s, main i, [onerror], [onload]').length"), 0);
    let text = browser.value("document.body.innerText");
    for shown in [
        "</script><img src=x onerror=hacked=1>",
        "<i>{a|b}",
        "<u>final</u>",
        "<s>tiled",
        "<b>no</b>",
        "<!--<script>",
    ] {
        assert!(text.as_str().unwrap().contains(shown), "{shown} is not in {text}");
    }
    // Nor would a script run that came in all the same.
    browser.value("{ const stranger = document.createElement('script'); stranger.textContent = 'hacked = 2'; document.body.append(stranger); }");
    assert_eq!(browser.value("typeof hacked"), "undefined");
}

#[test]
fn colours_follow_the_reader_and_paper_has_everything() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    let background = "getComputedStyle(document.querySelector('main section')).backgroundColor";
    let in_scheme = |scheme: &str, browser: &mut Browser| {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
        browser.value(background)
    };
    let light = in_scheme("light", &mut browser);
    let dark = in_scheme("dark", &mut browser);
    assert_ne!(light, dark);
    browser.value("$('theme').focus()");
    browser.press("Enter", 13, "\r");
    assert_eq!(
        (browser.value("$('theme').textContent"), browser.value(background)),
        ("○ light".into(), light)
    );
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value(background), dark);
    let paper = browser.ask("Page.printToPDF", json!({ "printBackground": true }));
    assert!(paper["data"].as_str().unwrap().len() > 50_000, "an empty page?");
    browser.until("[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)");
    browser.ask("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(browser.value("getComputedStyle(document.querySelector('nav')).display"), "none");
    assert_calm(&mut browser);
}

#[test]
fn names_and_roles_say_what_things_are() {
    let Some((_folder, mut browser)) = opened(|_| {}) else { return };
    for (what, without) in [
        ("sections without a heading", "main > section:not([aria-labelledby])"),
        ("tables without a caption", "table:not(:has(> caption))"),
        ("charts without words", ".chart:not([role=img][aria-label])"),
        ("header cells without a scope", "th:not([scope])"),
    ] {
        assert_eq!(browser.value(&format!("document.querySelectorAll('{without}').length")), 0, "{what}");
    }
    let nameless = "[...document.querySelectorAll('button, input, select')].filter((e) => !(e.textContent.trim() && e.tagName === 'BUTTON') && !e.getAttribute('aria-label') && !e.closest('label')).length";
    assert_eq!(browser.value(nameless), 0, "controls without a name");
    assert_eq!(browser.value("document.documentElement.lang"), "en");
    // The first key leads past the head.
    browser.press("Tab", 9, "");
    assert_eq!(browser.value("document.activeElement.className"), "skip");
}

#[test]
fn ten_thousand_measurements_are_searched_page_by_page() {
    let Some((_folder, mut browser)) = opened(|folder| multiply(folder, 10_000)) else { return };
    browser.value("$('distribution').scrollIntoView()");
    browser.until("performance.getEntriesByName('first chart').length > 0");
    eprintln!(
        "first chart of 10 000 measurements after {} ms",
        browser.value("Math.round(performance.getEntriesByName('first chart')[0].startTime)")
    );
    assert_eq!(texts(&mut browser, "#measurements tbody tr").len(), 50);
    browser.value("$('query').focus()");
    browser.write("tile=32 threads=2");
    browser.until("$('shown').textContent.includes(' of 10,000 measurements')");
    browser.value("drawAll()");
    let drawn = browser.value(
        "Math.max(...[...document.querySelectorAll('.chart')].map((chart) => Number(chart.dataset.drawn)))",
    );
    assert!(drawn.as_u64() < Some(20_000), "{drawn} marks in one chart");
    assert_calm(&mut browser);
}

/// The first measurements of its journal again and again, each a search point of its own.
fn multiply(folder: &Folder, most: usize) {
    let text = folder.read("c.lua.journal");
    let (measurements, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with(r#"{"type":"measurement""#));
    let mut lines: Vec<String> = others.iter().map(|line| (*line).to_owned()).collect();
    for number in 0..most {
        let mut record: Value = serde_json::from_str(measurements[number % 12]).unwrap();
        record["key"] = format!("{number:032x}").into();
        record["id"] = format!("{number:026}").into();
        record["trial"] = number.into();
        record["params"]["unroll"] = (number / 12 % 100).into();
        // `type` is what a line begins with.
        let record = record.to_string().replacen('{', r#"{"type":"measurement","#, 1);
        lines.push(record.replace(r#","type":"measurement""#, ""));
    }
    folder.write("c.lua.journal", lines.join("\n") + "\n");
}

#[test]
fn a_served_page_renews_itself_and_keeps_what_was_asked() {
    if browser::none() {
        return;
    }
    let folder = measured();
    let mut server = folder.start(&["report", "--serve", "c.lua"]);
    let url = server.await_stderr_line("harness: http://");
    let mut browser = Browser::start();
    browser.open(url.trim_start_matches("harness: ").split(' ').next().unwrap());
    browser.value("$('query').focus()");
    browser.write("gemm");
    browser.until("$('shown').textContent.startsWith('13 of 15 measurements')");
    let text = folder.read("c.lua.journal");
    let line = text.lines().rfind(|line| line.contains(r#""name":"gemm""#)).unwrap();
    let key = line.split(r#""key":""#).nth(1).unwrap().split('"').next().unwrap();
    // Appended, as a campaign does: the server may be reading.
    let mut journal = std::fs::OpenOptions::new().append(true).open(folder.path("c.lua.journal")).unwrap();
    journal.write_all(format!("{}\n", line.replace(key, &"0".repeat(32))).as_bytes()).unwrap();
    browser.until("$('shown').textContent.startsWith('14 of 16 measurements')");
    assert_eq!(browser.value("[$('query').value, document.activeElement.id].join()"), "gemm,query");
    let (complaints, requests) = browser.complaints_and_requests();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(
        requests.iter().all(|url| url.starts_with("http://127.0.0.1:") || url.starts_with("data:,")),
        "{requests:#?}"
    );
}
