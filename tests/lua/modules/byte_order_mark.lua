#!/usr/bin/env harness
--! prints 3
print(debug.getinfo(1, "l").currentline)
