-- Which of two commands is faster?
--
--   harness campaigns/cookbook/01-two-commands.lua
--
-- They run in turns on one node, so that what changes there meanwhile hits both. Nothing is timed but the command.
local result = await(submit(compare {
  name = "gzip",
  cwd = "scratch",
  setup = "seq 100000 > numbers",
  base = { shell = "gzip -6 < numbers > numbers.gz" }, -- yours: the command you have
  fast = { shell = "gzip -1 < numbers > numbers.gz" }, -- and one for each that might be better, under any name
  max_rounds = 20,
  min_effect = 0.02, -- less than 2 % does not matter here
}))
print(result)
for name, verdict in pairs(result.verdicts) do
  print(name, verdict.verdict, verdict.rounds .. " rounds")
end
