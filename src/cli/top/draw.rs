//! How `harness top` looks: a picture of a [`State`] at a time, for a size. Pure.
//!
//! What does not fit is cut at names, not at figures; what is not there takes no room. Colours only underline what the
//! characters say.

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};

use super::state::{State, Word};
use crate::cli::status::of_waiting;
use crate::model::human::{count, duration, shortened, tally};
use crate::model::{CampaignStatus, KindStatus, Status, WorkerStatus};

/// A bar is at most this long.
const BAR_CHARS: usize = 40;
/// Beside a bar stand so many characters.
const BESIDE_BAR: usize = 62;
/// A shorter bar says nothing.
const LEAST_BAR: usize = 8;
/// Of a name at least so much is left.
const NAME_CHARS: usize = 8;
/// What stands before the flags of a measurement, and what is left of them.
const FLAGS_FOLLOW: &str = "; ";
const FLAGS_CHARS: usize = 8;
const KEYS: &str = "q quit · ↑ ↓ PgUp PgDn workers · p pause · ? help";
const HELP: [&str; 11] = [
    "q, Esc, Ctrl-C   leave; the campaign goes on",
    "↑ ↓ PgUp PgDn    other workers",
    "p                pause: nothing is asked, the picture stays",
    "?                this, and back",
    "",
    "bars      █ ended well   x failed   ▒ running   · waiting",
    "workers   what runs there, and for how long since it was sent off",
    "waiting   the reason, the first that go, and what the very first waits for",
    "rate      tasks that ran to their end, over the last minute",
    "late      while a measurement has the root's node nothing of harness runs there: it answers in the gap after it",
    "          (what looks at it from that node disturbs it: look from another one, or pause)",
];

/// Above the lines of a part.
const TITLE_LINES: usize = 2;

/// A part of the picture; without lines it is not there.
#[derive(Default)]
struct Block {
    title: String,
    lines: Vec<Line<'static>>,
}

impl Block {
    fn wants(&self) -> usize {
        if self.lines.is_empty() { 0 } else { self.lines.len() + TITLE_LINES }
    }
}

/// Draws it; by how many lines the workers can be scrolled.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: f64) -> usize {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = head(state, now, width);
    let foot = usize::from(height > lines.len());
    let room = height.saturating_sub(lines.len() + foot);
    let (below, scrollable) = if state.help { (help(), 0) } else { blocks(state, width, room) };
    lines.extend(below.into_iter().take(room));
    lines.resize(height.saturating_sub(foot), Line::default());
    lines.push(Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)));
    lines.truncate(height);
    frame.render_widget(Text::from(lines), area);
    scrollable
}

fn help() -> Vec<Line<'static>> {
    let lines = HELP.into_iter().map(Line::from);
    std::iter::once(Line::default()).chain(lines).collect()
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Who, how far, and whether it answers.
fn head(state: &State, now: f64, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(status) = &state.status {
        lines.push(Line::styled(who(status), bold()));
        lines.push(Line::from(how_far(state, status, now)));
    }
    if let Some(notice) = notice(state, now) {
        lines.push(Line::styled(notice, Style::new().add_modifier(Modifier::REVERSED)));
    }
    let kinds = state.status.iter().flat_map(|status| &status.kinds);
    lines.extend(kinds.map(|(kind, counts)| bar(kind.word(), counts, width)));
    lines
}

/// `c.lua on node1 (pid 12, Slurm job 17): running`
fn who(status: &CampaignStatus) -> String {
    let job = status.job.as_ref().map(|job| format!(", {} job {}", job.scheduler, job.id));
    let (script, host, pid) = (&status.script, &status.host, status.pid);
    format!("{script} on {host} (pid {pid}{}): {}", job.unwrap_or_default(), status.state)
}

fn how_far(state: &State, status: &CampaignStatus, now: f64) -> String {
    // While it answers the time since its answer is none; later its clock goes on as ours does.
    let since = if matches!(state.word, Word::Over(_)) { 0.0 } else { now - state.heard_s };
    let running = status.running_s + since.max(0.0);
    let mut parts = vec![format!("for {}", duration(running.round()))];
    let left = status.left_s.filter(|_| matches!(state.word, Word::Live));
    parts.extend(left.map(|left| format!("about {} left", duration(left.round()))));
    parts.extend(state.rate().map(|rate| format!("{rate:.*} tasks a minute", usize::from(rate < 10.0))));
    if status.replayed > 0 {
        parts.push(format!("{} from the journal", status.replayed));
    }
    parts.join(" · ")
}

/// What stands in the way, in a line.
fn notice(state: &State, now: f64) -> Option<String> {
    let old = match state.status {
        Some(_) => format!("; this is how it was {} ago", duration((now - state.heard_s).max(0.0).round())),
        None => String::new(),
    };
    let stopping = state.status.as_ref().and_then(|status| status.stopping.as_ref());
    match (&state.word, stopping) {
        (Word::Over(how), _) => Some(format!("{how}; this is what the journal has; q leaves")),
        _ if state.paused => Some(format!("paused, p goes on{old}")),
        (Word::Late, _) => {
            let wait = "a measurement has the root's node: the answer comes when it ends, or to `harness status --now`";
            Some(format!("{wait}{old}"))
        }
        (Word::Unheard(why), _) => Some(format!("{why}{old}")),
        (Word::Live, Some(why)) => Some(format!("stopping {why}: nothing starts any more")),
        (Word::Live, None) => None,
    }
}

/// ` measure [███x▒···] 3 of 8 done, 1 failed, 1 running, 4 waiting`
fn bar(kind: &str, counts: &KindStatus, width: usize) -> Line<'static> {
    let KindStatus { submitted, running, done, failed } = *counts;
    let waiting = submitted.saturating_sub(done + running);
    let mut spans = vec![Span::from(format!("{kind:>8} "))];
    let length = width.saturating_sub(BESIDE_BAR).min(BAR_CHARS);
    if length >= LEAST_BAR && submitted > 0 {
        let cells = |number: usize| if number == 0 { 0 } else { (number * length / submitted).max(1) };
        let (bad, busy, open) = (cells(failed), cells(running), cells(waiting));
        let rest = length.saturating_sub(bad + busy + open);
        // What dividing left over belongs to those that ended well, or else to those that wait.
        let (good, open) = if done > failed { (rest, open) } else { (0, open + rest) };
        let part =
            |text: &str, cells: usize, colour| Span::styled(text.repeat(cells), Style::new().fg(colour));
        spans.push("[".into());
        spans.push(part("█", good, Color::Green));
        spans.push(part("x", bad, Color::Red));
        spans.push(part("▒", busy, Color::Yellow));
        spans.push(part("·", open, Color::Reset));
        spans.push("] ".into());
    }
    spans.push(format!("{done} of {submitted} done").into());
    for (number, what) in [(failed, "failed"), (running, "running"), (waiting, "waiting")] {
        if number > 0 {
            spans.push(format!(", {number} {what}").into());
        }
    }
    Line::from(spans)
}

/// The parts below, in so many lines; by how many lines the workers can be scrolled.
fn blocks(state: &State, width: usize, room: usize) -> (Vec<Line<'static>>, usize) {
    // Where it has ended nothing runs or waits, whatever the last answer was.
    let at_work = state.status.as_ref().filter(|_| !matches!(state.word, Word::Over(_)));
    let blocks = [
        at_work.map_or_else(Block::default, |status| workers(&status.workers, width)),
        at_work.map_or_else(Block::default, waiting),
        state.status.as_ref().map_or_else(Block::default, failed),
        measured(state, width),
    ];
    let shares = share(room, &blocks.each_ref().map(Block::wants));
    let (mut lines, mut scrollable) = (Vec::new(), 0);
    for (at, (block, share)) in blocks.into_iter().zip(shares).enumerate() {
        let Some(shown) = share.checked_sub(TITLE_LINES) else { continue };
        let hidden = block.lines.len().saturating_sub(shown);
        let mut skipped = 0;
        if at == 0 {
            (skipped, scrollable) = (state.scroll.min(hidden), hidden);
        }
        let (first, last, all) = (skipped + 1, skipped + shown, block.lines.len());
        let place = match (hidden, shown) {
            (0, _) => String::new(),
            (_, 1) => format!(" (line {first} of {all})"),
            _ => format!(" (lines {first} to {last} of {all})"),
        };
        lines.push(Line::default());
        lines.push(Line::styled(format!("{}{place}", block.title), bold()));
        lines.extend(block.lines.into_iter().skip(skipped).take(shown));
    }
    (lines, scrollable)
}

/// Shares lines out. First everybody, in order, gets what shows something at all; then nobody gets more than is wanted, and
/// nobody less than others who want more.
fn share(room: usize, wants: &[usize; 4]) -> [usize; 4] {
    let (mut shares, mut left) = ([0; 4], room);
    for (share, wanted) in shares.iter_mut().zip(wants) {
        if *wanted > 0 && left > TITLE_LINES {
            *share = TITLE_LINES + 1;
            left -= *share;
        }
    }
    loop {
        let hungry: Vec<usize> = (0..4).filter(|at| shares[*at] > 0 && shares[*at] < wants[*at]).collect();
        if hungry.is_empty() || left == 0 {
            return shares;
        }
        let each = (left / hungry.len()).max(1);
        for at in hungry {
            let more = each.min(wants[at] - shares[at]).min(left);
            shares[at] += more;
            left -= more;
        }
    }
}

fn workers(workers: &[WorkerStatus], width: usize) -> Block {
    let stages = ["ready", "quarantined", "starting", "parked", "retiring", "gone"];
    let of_stage = |stage: &&str| workers.iter().filter(|worker| worker.stage == *stage).count();
    let stages = stages.iter().filter_map(|stage| {
        let number = of_stage(stage);
        (number > 0).then(|| format!("{number} {stage}"))
    });
    let slots: u32 = workers.iter().filter(|worker| worker.stage == "ready").map(|worker| worker.slots).sum();
    let title =
        format!("workers: {}; {}", stages.collect::<Vec<_>>().join(", "), count(slots as usize, "slot"));
    let lines = workers.iter().filter(|worker| worker.stage != "gone").flat_map(|one| worker(one, width));
    Block { title, lines: lines.collect() }
}

fn worker(worker: &WorkerStatus, width: usize) -> Vec<Line<'static>> {
    let WorkerStatus { id, host, slots, gpus, stage, tasks, ahead, .. } = worker;
    let does = match stage.as_str() {
        "ready" if worker.measured => "a measurement has the node".to_string(),
        "ready" if tasks.is_empty() && *ahead == 0 => "nothing runs".to_string(),
        "ready" => format!("{} run", tasks.len()),
        stage => stage.to_string(),
    };
    let gpus = if *gpus > 0 { format!(", {}", count(*gpus as usize, "GPU")) } else { String::new() };
    let ahead = if *ahead > 0 { format!(", {ahead} sent ahead") } else { String::new() };
    let head = format!("worker {id} ({}{gpus}): {does}{ahead}", count(*slots as usize, "slot"));
    let head = Line::from(fit(host, &head, "  ", width));
    let task = |task: &crate::model::RunningStatus| {
        let line = format!("{:>12}  {}", duration(task.since_s.round()), task.name);
        Line::from(cut(&line, width))
    };
    std::iter::once(head).chain(tasks.iter().map(task)).collect()
}

fn waiting(status: &CampaignStatus) -> Block {
    let number: usize = status.waiting.iter().map(|group| group.count).sum();
    let lines = status.waiting.iter().flat_map(|group| {
        of_waiting(group).lines().map(|line| Line::from(line.to_string())).collect::<Vec<_>>()
    });
    Block { title: format!("waiting: {}", count(number, "task")), lines: lines.collect() }
}

fn failed(status: &CampaignStatus) -> Block {
    let ended = status.ended.iter().filter(|(status, _)| **status != Status::Ok);
    let counts = tally(&ended.map(|(status, number)| (*status, *number)).collect());
    let lines = status.failures.iter().map(|failure| Line::from(failure.text.clone()));
    Block { title: format!("failed: {counts}"), lines: lines.collect() }
}

fn measured(state: &State, width: usize) -> Block {
    let lines = state.measured.iter().map(|(name, figures)| {
        let room = width.saturating_sub(name.chars().count() + ": ".len());
        Line::from(fit(name, &in_short(figures, room), ": ", width))
    });
    Block { title: "measured last".into(), lines: lines.collect() }
}

/// Figures with what stands behind them, as far as there is room: the name tells them from others, so flags give way before it, then why
/// there is no interval, then why sampling ended.
fn in_short(figures: &str, room: usize) -> String {
    let over = figures.chars().count().saturating_sub(room);
    let (mut said, flags) = figures
        .split_once(FLAGS_FOLLOW)
        .map_or((figures.to_owned(), ""), |(figures, flags)| (figures.into(), flags));
    let left = flags.chars().count().saturating_sub(over);
    if over == 0 || left >= FLAGS_CHARS {
        let between = if flags.is_empty() { "" } else { FLAGS_FOLLOW };
        return format!("{said}{between}{}", cut(flags, left));
    }
    if let (Some(begin), Some(end)) = (said.rfind(" ("), said.rfind(')'))
        && begin < end
        && said.chars().count() > room
    {
        said.replace_range(begin..=end, "");
    }
    if let Some(end) = said.rfind(", ").filter(|_| said.chars().count() > room) {
        said.truncate(end);
    }
    said
}

/// A name and what is said of it in a line: where it is too long the name is cut.
fn fit(name: &str, said: &str, between: &str, width: usize) -> String {
    let room = width.saturating_sub(said.chars().count() + between.len());
    format!("{}{between}{said}", cut(name, room.max(NAME_CHARS)))
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.into() } else { shortened(text, width.saturating_sub(1)) }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
