-- A figure that a program prints under the name of one that every run has takes its place, one for each run.
local r = await(submit(measure { shell = "echo v 5", metrics = { minflt = "v (%d+)" }, runs = 3 }))
assert(r.ok, tostring(r))
local printed, counted = r.samples.minflt, r.samples.majflt
assert(#printed == 3 and printed[1] == 5.0 and printed[3] == 5.0 and #counted == 3)
