-- A package of Rust, with features and profiles; what rustc says has its place.
local harness = require "harness"
local recipes, fs = require "harness.recipes", harness.fs
if not os.execute "cargo --version > /dev/null 2>&1" then
  assert(not os.getenv "HARNESS_CI", "cargo is missing")
  io.stderr:write "no cargo here: not tested\n"
  return
end
local pool <close> = spawn { slots = 2 }
local dir = assert(fs.tempdir()) .. "/hello"
assert(fs.mkdir(dir .. "/src") and fs.mkdir(dir .. "/.cargo") and fs.mkdir(dir .. "/target/release"))
local function write(path, text) assert(fs.write(dir .. "/" .. path, text)) end
write("Cargo.toml", [[
[package]
name = "hello"
version = "0.1.0"
edition = "2021"
[features]
polite = []
[profile.quick]
inherits = "release"
opt-level = 1
[workspace]
]])
write(".cargo/config.toml", '[env]\nWHO = "you"\n') -- found only from inside the tree
write("src/main.rs", [[
fn main() {
    let please = if cfg!(feature = "polite") { ", please" } else { "" };
    println!("hello {}{please} {}", env!("WHO"), cfg!(debug_assertions));
}
]])
write("target/release/hello", "an old one")

local function cargo(options)
  options.dir, options.output, options.flags = dir, "hello", { "--offline" }
  return submit(recipes.cargo(options))
end
local function says(build)
  local r = await(submit(exec { cmd = { build } }))
  assert(r.ok, tostring(r))
  return r.stdout
end
local build = cargo { cores = 2 }
assert(says(build) == "hello you false\n")
local r = await(build)
assert(r.compiler:find "/cargo %(cargo .*; /%S*/rustc %(rustc ", r.compiler)
assert(table.concat(r.argv, " "):find("--profile release --jobs 2 ", 1, true))
assert(says(cargo { features = { "polite" }, profile = "quick" }) == "hello you, please false\n")
assert(says(cargo { profile = "dev" }) == "hello you true\n")

write("src/main.rs", "fn main() {\n    let unused = 1;\n    none();\n}\n")
r = await(cargo {})
assert(r.status == "compile_failed" and r.reason:find("src/main.rs:3:5: error[E0425]", 1, true), r.reason)
local m = r.messages[1]
assert(m.file == "src/main.rs" and m.line == 3 and m.column == 5 and m.severity == "error", r.diagnostics)
write("src/main.rs", "fn main() {\n    let unused = 1;\n}\n")
r = await(cargo {})
m = r.messages[1]
assert(r.ok and m.file == "src/main.rs" and m.line == 2 and m.severity == "warning", r.diagnostics)
