//! The values of Lua's own libraries: they travel as a number, their position in this list.
//!
//! A list and not a walk over the globals, so that the numbers cannot depend on what was added to a state
//! before, or on the order of its tables.

/// Every function, table and file of the standard libraries. New names go to the end of the list.
pub const NAMES: &[&str] = &[
    "assert",
    "collectgarbage",
    "dofile",
    "error",
    "getmetatable",
    "ipairs",
    "load",
    "loadfile",
    "next",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "warn",
    "xpcall",
    "coroutine",
    "coroutine.close",
    "coroutine.create",
    "coroutine.isyieldable",
    "coroutine.resume",
    "coroutine.running",
    "coroutine.status",
    "coroutine.wrap",
    "coroutine.yield",
    "debug",
    "debug.debug",
    "debug.gethook",
    "debug.getinfo",
    "debug.getlocal",
    "debug.getmetatable",
    "debug.getregistry",
    "debug.getupvalue",
    "debug.getuservalue",
    "debug.setcstacklimit",
    "debug.sethook",
    "debug.setlocal",
    "debug.setmetatable",
    "debug.setupvalue",
    "debug.setuservalue",
    "debug.traceback",
    "debug.upvalueid",
    "debug.upvaluejoin",
    "io",
    "io.close",
    "io.flush",
    "io.input",
    "io.lines",
    "io.open",
    "io.output",
    "io.popen",
    "io.read",
    "io.stderr",
    "io.stdin",
    "io.stdout",
    "io.tmpfile",
    "io.type",
    "io.write",
    "math",
    "math.abs",
    "math.acos",
    "math.asin",
    "math.atan",
    "math.atan2",
    "math.ceil",
    "math.cos",
    "math.cosh",
    "math.deg",
    "math.exp",
    "math.floor",
    "math.fmod",
    "math.frexp",
    "math.ldexp",
    "math.log",
    "math.log10",
    "math.max",
    "math.min",
    "math.modf",
    "math.pow",
    "math.rad",
    "math.random",
    "math.randomseed",
    "math.sin",
    "math.sinh",
    "math.sqrt",
    "math.tan",
    "math.tanh",
    "math.tointeger",
    "math.type",
    "math.ult",
    "os",
    "os.clock",
    "os.date",
    "os.difftime",
    "os.execute",
    "os.exit",
    "os.getenv",
    "os.remove",
    "os.rename",
    "os.setlocale",
    "os.time",
    "os.tmpname",
    "package",
    "package.loaded",
    "package.loadlib",
    "package.preload",
    "package.searchers",
    "package.searchpath",
    "string",
    "string.byte",
    "string.char",
    "string.dump",
    "string.find",
    "string.format",
    "string.gmatch",
    "string.gsub",
    "string.len",
    "string.lower",
    "string.match",
    "string.pack",
    "string.packsize",
    "string.rep",
    "string.reverse",
    "string.sub",
    "string.unpack",
    "string.upper",
    "table",
    "table.concat",
    "table.insert",
    "table.move",
    "table.pack",
    "table.remove",
    "table.sort",
    "table.unpack",
    "utf8",
    "utf8.char",
    "utf8.codepoint",
    "utf8.codes",
    "utf8.len",
    "utf8.offset",
];

#[cfg(test)]
mod tests {
    use super::NAMES;

    #[test]
    fn the_list_is_complete_and_without_doubles() {
        // SAFETY: the state is used here only, and only to look at it.
        let lua = unsafe { mlua::Lua::unsafe_new() };
        let found: Vec<String> = lua
            .load(
                r#"local found = {}
                for name, value in pairs(_G) do
                  if value ~= _G then
                    if type(value) ~= "string" then found[#found + 1] = name end
                    if type(value) == "table" then
                      for field, inner in pairs(value) do
                        local kind = type(inner)
                        if kind ~= "string" and kind ~= "number" then found[#found + 1] = name .. "." .. field end
                      end
                    end
                  end
                end
                return found"#,
            )
            .eval()
            .unwrap();
        let missing: Vec<_> = found.iter().filter(|name| !NAMES.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "not in NAMES: {missing:?}");
        let mut sorted = NAMES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), NAMES.len());
    }
}
