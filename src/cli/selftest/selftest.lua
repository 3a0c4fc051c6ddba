-- The campaign of `harness selftest`: on each node one program is compared with itself, again and again, until the time is
-- over. Writes the figures; what follows from them is found elsewhere.
local harness = require "harness"
local json, fs = harness.json, harness.fs
local out, seconds = assert(arg[1], "a file to write to"), assert(tonumber(arg[2]))

-- A fixed amount of work; every node has a shell.
local LOOP = "i=0; while [ $i -lt %d ]; do i=$((i+1)); done"
local AIM = 0.02 -- seconds that a run should take: well above what starting it takes

local function spin(turns) return { "/bin/sh", "-c", LOOP:format(turns) } end

-- What of a node unsettles figures, as its kernel tells it: { name = text }. Nothing that cannot be read.
local function surroundings()
  local found = {}
  local function look(name, path)
    local file <close> = io.open(path)
    local text = file and file:read "l"
    if text then found[name] = text end
  end
  look("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
  look("boost", "/sys/devices/system/cpu/cpufreq/boost")
  look("no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo")
  look("smt", "/sys/devices/system/cpu/smt/active")
  look("loadavg", "/proc/loadavg")
  look("numa_balancing", "/proc/sys/kernel/numa_balancing")
  return found
end

-- One node from its calibration to the end of its time.
local function examine(pool, worker)
  local host = worker.host
  local node = { host = host, cores = worker.cores, comparisons = json.list {} }
  node.surroundings = await(pool:submit(call { surroundings, host = host }))
  local turns = 1000
  local function takes()
    local r = await(pool:submit(exec { cmd = spin(turns), cwd = "/", host = host, exclusive = "node", timeout = "60 s" }))
    assert(r.ok, tostring(r))
    return r.wall_s
  end
  while takes() < AIM / 2 and turns < 1 << 30 do
    turns = turns * 2
  end
  local began = harness.now()
  repeat
    local left = seconds - (harness.now() - began)
    local r = await(pool:submit(compare {
      name = "A/A",
      params = { host = host, number = #node.comparisons },
      host = host,
      cwd = "/",
      base = { cmd = spin(turns) },
      same = { cmd = spin(turns) },
      max_time = math.max(left, 0.1),
    }))
    assert(r.ok, tostring(r))
    ---@type any
    local base, same = r.variants.base, r.variants.same
    node.floor_s, node.maxrss_floor_bytes = base.floor_s, base.maxrss_floor_bytes
    table.insert(node.comparisons, {
      verdict = r.verdicts.same.verdict,
      elapsed_s = r.elapsed_s,
      base = json.list(base.samples.wall_s),
      same = json.list(same.samples.wall_s),
    })
  until harness.now() - began >= seconds
  return node
end

local pool <close> = spawn { per_node = 1, slots = 1 }
local flows, nodes = {}, json.list {}
for i, worker in ipairs(pool.workers) do flows[i] = go(examine, pool, worker) end
for i, flow in ipairs(flows) do nodes[i] = await(flow) end
assert(fs.write(out, json.encode { nodes = nodes }))
