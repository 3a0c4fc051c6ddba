//! Where `require` finds modules, in the real binary: the environment's paths, C modules, two of one name, and
//! bytecode that is not loaded.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts the real binary

#[path = "support/mod.rs"]
mod support;

use support::Folder;

/// Runs `c.lua` with these variables; what it printed and said.
fn run(folder: &Folder, options: &[&str], variables: &[(&str, String)]) -> (String, String) {
    let mut command = folder.harness(&[options, &["--start", "local", "--slots", "1", "c.lua"]].concat());
    for (name, value) in variables {
        command.env(name, value);
    }
    let ran = folder.finish(command);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    (folder.normal(&ran.stdout), folder.normal(&ran.stderr))
}

/// On the root, then on a worker in another pool.
const BOTH: &str = "
local function show() return table.concat({ require 'one'.from, require 'two'.from, require 'three'.from, require 'a.four'.from }, ' ') end
print(show())
print(await(submit(function() package.loaded.one, package.loaded.two = nil return show() end)))
";

#[test]
fn the_campaigns_folder_wins_then_harness_path_then_lua_path() {
    let folder = Folder::with(BOTH);
    let module = |name: &str, from: &str| folder.write(name, format!("return {{ from = '{from}' }}"));
    module("one.lua", "folder");
    module("lua/two.lua", "lua");
    for name in ["one", "two", "three"] {
        module(&format!("shared/{name}.lua"), "harness_path");
        module(&format!("tree/share/lua/5.4/{name}.lua"), "rocks");
    }
    module("tree/share/lua/5.4/a/four.lua", "rocks");
    // As `luarocks path` sets them: the variable of this Lua's version comes before the general one.
    let rocks = format!("{}/?.lua;;", folder.path("tree/share/lua/5.4").display());
    let variables = [
        ("HARNESS_PATH", "shared".to_string()),
        ("LUA_PATH", "/nowhere/?.lua".into()),
        ("LUA_PATH_5_4", rocks),
    ];
    let (stdout, stderr) = run(&folder, &[], &variables);
    assert_eq!(stdout, "folder lua harness_path rocks\nfolder lua harness_path rocks\n");
    let notices: Vec<&str> = stderr.lines().filter(|line| line.contains("two modules")).collect();
    assert_eq!(notices.len(), 3, "once for each name: {stderr}");
    let dir = folder.path("").canonicalize().unwrap();
    let (used, hidden) = (dir.join("one.lua"), dir.join("shared/one.lua"));
    let expected = format!(
        "harness: there are two modules 'one': {} is used, {} is not (the campaign's folder comes first)",
        folder.normal(&used.display().to_string()),
        folder.normal(&hidden.display().to_string())
    );
    assert_eq!(notices[0], expected);
    let (_, stderr) = run(&folder, &["-q", "--fresh"], &variables);
    assert_eq!(stderr, "");
}

#[test]
fn modules_written_in_c_are_loaded_on_the_worker() {
    let folder = Folder::with(
        "
local have = {}
for _, name in ipairs { 'lpeg', 'cjson' } do have[#have + 1] = pcall(require, name) and name or nil end
if #have < 2 then print 'absent' os.exit(0) end
local lpeg, json = require 'lpeg', require 'cjson'
-- As an upvalue the module goes by its name, and so do its functions.
local digits = function(s) return lpeg.match(lpeg.C(lpeg.R '09' ^ 1), s) end
print(await(submit(digits, '2026 AD')))
local match = lpeg.match
print(await(submit(function(s) return json.encode { s, match(require('lpeg').P 'a', s) }, match == require('lpeg').match end, 'abc')))
-- What they make cannot travel.
local pattern = lpeg.P 'a'
print(select(2, pcall(submit, function() return pattern end)))
",
    );
    let (stdout, _) = run(&folder, &[], &[]);
    if stdout == "absent\n" {
        return eprintln!("lua-lpeg and lua-cjson are not installed: nothing tested (tools/setup ci)");
    }
    assert_eq!(
        stdout,
        "2026\n[\"abc\",2]\ttrue\nsubmit: cannot ship upvalue `pattern` (userdata) of function at c.lua:13; path: arg 1\n"
    );
}

#[test]
fn functions_in_the_journal_are_not_loaded() {
    let folder = Folder::with(
        "
print(await(submit(call { function() return function() return 'made' end end, key = 'f' }))())
print(await(submit(call { function() return 'plain' end, key = 'g' })))
local ok, e = pcall(await, submit(call { function() error { retry = function() return 'again' end } end, key = 'h' }))
print(ok, e.value.retry())
",
    );
    for journal in ["", " (1 from the journal)"] {
        let (stdout, stderr) = run(&folder, &[], &[]);
        assert_eq!(stdout, "made\nplain\nfalse\tagain\n");
        let expected = format!("harness: 3 tasks{journal}: 2 ok, 1 error\n");
        assert!(stderr.starts_with(&expected), "{stderr}");
    }
}

/// As `eval $(luarocks path)` sets them: trees by version of Lua, `share/lua` and `lib/lua`, the standard places last.
#[test]
fn a_tree_of_luarocks_is_searched() {
    let folder = Folder::with(
        "local function show() return require('rock').from, require('rock.part').from end\n\
         print(show())\nprint(await(submit(function() package.loaded.rock, package.loaded['rock.part'] = nil return show() end)))\n\
         print(package.cpath:find('/tree/lib/lua/5.4/?.so', 1, true) ~= nil)\n",
    );
    let tree = folder.path("tree");
    let share = tree.join("share/lua/5.4");
    std::fs::create_dir_all(share.join("rock")).unwrap();
    std::fs::write(share.join("rock/init.lua"), "return { from = 'init' }").unwrap();
    std::fs::write(share.join("rock/part.lua"), "return { from = 'part' }").unwrap();
    let (share, tree) = (share.display(), tree.display());
    let path = format!("/usr/share/lua/5.4/?.lua;./?.lua;{share}/?.lua;{share}/?/init.lua");
    let cpath = format!("/usr/lib/lua/5.4/?.so;./?.so;{tree}/lib/lua/5.4/?.so");
    let (printed, _) = run(&folder, &[], &[("LUA_PATH", path), ("LUA_CPATH", cpath)]);
    assert_eq!(printed, "init\tpart\ninit\tpart\ntrue\n");
}
