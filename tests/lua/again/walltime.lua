-- Outside a batch job, and without --deadline, nobody knows.
assert(require "harness".walltime_left() == nil)
