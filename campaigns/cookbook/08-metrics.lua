-- Figures that the program prints: from a line, the last of many lines, JSON, CSV, or by a function.
--
--   harness campaigns/cookbook/08-metrics.lua
local program = [[
  for i in 1 2 3; do echo "iteration $i residual 1e-$i"; done
  echo '{"time": {"solve": 1.5, "setup": 0.5}}'
  printf 'cells,rate\n64,2\n128,3\n'
  printf '1 0.5\n2 0.25\n' > errors.txt
]]
local m = await(submit(measure {
  name = "solver",
  shell = program, -- yours
  cwd = "scratch",
  runs = 7,
  metrics = {
    iterations = "iteration (%d+)[^\n]*\n{", -- Lua patterns; a number is what is in the parentheses
    residual = { ".*residual ([%d.e+-]+)", unit = "1" }, -- the last one: .* takes all it can
    solve = { json = "time.solve", unit = "s" },
    rate = { csv = "rate", better = "more" }, -- the last row
    worst = { -- on the node, when the program has ended
      unit = "m",
      fn = function(run)
        local worst = 0.0
        for line in io.lines(run.dir .. "/errors.txt") do
          worst = math.max(worst, assert(tonumber(line:match "%S+$")))
        end
        return worst
      end,
    },
  },
  objective = "solve", -- what is judged: yours
}))
print(m)
for _, name in ipairs { "iterations", "residual", "solve", "rate", "worst" } do
  local metric = m.metrics[name]
  print(("%-10s %s %s"):format(name, metric.stats.median, metric.unit or ""))
end

-- A line that is not there is an end of its own, never a 0.
print(await(submit(measure { name = "silent", cmd = { "echo", "done" }, metrics = { rate = "rate: (%d+)" }, objective = "rate" })))
