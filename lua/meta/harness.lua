---@meta harness
-- Types of what a campaign sees, for language servers and `emmylua_check`. A test compares names with the library.

--- Seconds, or text: "10 us", "500 ms", "2 s", "1 min", "2 h", "1 d".
---@alias harness.Duration number|string

--- Bytes, or text such as "64 MiB", "2 GiB".
---@alias harness.Size number|string

--- How a task ended, in one word.
---@alias harness.Status
---| "ok" | "error" | "nonzero_exit" | "signal" | "timeout" | "oom" | "verify_failed" | "metric_missing"
---| "spawn_failed" | "compile_failed" | "setup_failed" | "refused" | "pruned" | "lost_worker" | "cancelled" | "skipped"

--- What the bandit can choose among.
---@alias harness.BanditArm
---| "annealing" | "evolution" | "genetic" | "grid" | "hill_climb" | "lhs" | "mcts" | "random" | "sobol"

---@alias harness.Argument string|number|harness.Future

--- Options every task takes.
---@class harness.TaskOptions
---@field name? string|number what the results are grouped and shown by
---@field params? table<string, any> the search point; kept in the journal
---@field key? string|number makes an exec or a call durable, or tells apart equal tasks
---@field cores? integer cores it occupies, of an MPI application those of each rank; 1 unless said
---@field gpus? integer GPUs of each of its nodes; none unless said
---@field needs? table<string, integer> what it takes of the pool's resources while it runs: { license = 1 }
---@field host? string run on this host only
---@field not_on? string never on this host
---@field group? string|number tasks of one group run on one node
---@field exclusive? "node"|false the node is drained for it (the default of measure)
---@field priority? integer higher first; 0 unless said
---@field timeout? harness.Duration from start to forced end
---@field retries? integer how often an attempt lost to the infrastructure is tried again
---@field accept_failed? boolean get the records of failed dependencies instead of being skipped

--- What each process of a task may take, none of it above what harness itself may; what is not said is not limited.
---@class harness.LimitsOptions
---@field memory? harness.Size that it can write to, without its stack and what it shares (`ulimit -d`)
---@field cpu_time? harness.Duration on processors, of each process by itself; from 1 s, in whole seconds (`ulimit -t`)
---@field processes? integer processes and threads of the program, counted with all others of its user (`ulimit -u`); root has no such limit
---@field file_size? harness.Size of each file it writes (`ulimit -f`)
---@field open_files? integer descriptors at a time, from 8 (`ulimit -n`)

---@class harness.CallOptions : harness.TaskOptions
---@field [integer] any the function, then its arguments
---@field fresh? boolean in a slot process that has run nothing before it; false unless said
---@field nodes? integer has so many nodes to itself, and runs on the first of them

---@class harness.ExecOptions : harness.TaskOptions
---@field cmd? harness.Argument[] program and arguments, no shell; futures of calls and compiles become their results
---@field shell? string a line for /bin/sh -c, instead of cmd
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cwd? string a folder relative to the campaign's (the default), or "scratch" for a fresh one
---@field stdin? string what the program reads
---@field stdout? string "capture" (the default), "null" or a file
---@field stderr? string "capture" (the default), "null" or a file
---@field inputs? string[] files put into the scratch folder under the same relative path; a `..` in it becomes `__`
---@field outputs? string[] files of the scratch folder that its node's cache keeps, by their content
---@field ok_codes? integer[] exit codes that count as success; { 0 } unless said
---@field limits? harness.LimitsOptions what each of its processes may take
---@field numa? "local" its cores and its memory are of one NUMA node
---@field smt? boolean false: one thread of each of its cores; true: all; as many as it takes unless said
---@field nodes? integer an MPI application: nodes it has; 1 unless said
---@field ranks? integer all ranks; one on each node unless said
---@field ranks_per_node? integer instead of ranks or nodes
---@field gpus_per_rank? integer GPUs of each rank; on each node ranks_per_node times as many are reserved
---@field launcher? string "auto" (the default), "mpiexec", "srun", "aprun", "jsrun", "none", or a line with {ranks} {nodes} {ranks_per_node} {gpus_per_rank} {hosts} {hostfile}
---@field launcher_args? string[] come after the launcher's own arguments

---@class harness.CompileOptions : harness.TaskOptions
---@field sources? string[] C, C++ or Fortran; headers of the campaign they include come along
---@field cmd? harness.Argument[] any build command, instead of sources; run where its inputs are
---@field compiler? string by the suffix of the sources unless said: cc, c++, gfortran
---@field flags? string[] come before everything else
---@field defines? table<string, string|number> -DNAME=VALUE, sorted
---@field includes? string[] folders for -I
---@field libs? string[] names for -l
---@field inputs? string[] further files the build reads
---@field output? string the file that is the artefact
---@field outputs? string[] the same as a list of one
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cache? boolean look for an earlier build with the same content; true unless said
---@field tools? string[] programs it uses besides the first: their versions count as the compiler's does
---@field limits? harness.LimitsOptions what each of its processes may take

--- A source tree that its own build tool builds in a copy: what all recipes take.
---@class harness.TreeOptions : harness.TaskOptions
---@field dir string the source tree, all of which is copied
---@field output string the file that is the artefact: where make leaves it in `dir`, CMake in its build folder, cargo in that of the profile
---@field flags? string[] further arguments
---@field except? string[] files and folders of `dir` that are no source
---@field tools? string[] the compilers whose versions count; what the tool calls by itself unless said
---@field inputs? string[] further files it reads
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cache? boolean look for an earlier build with the same content; true unless said
---@field limits? harness.LimitsOptions what each of its processes may take

---@class harness.MakeOptions : harness.TreeOptions
---@field vars? table<string, string|number> NAME=VALUE, sorted
---@field target? string the first of the makefile unless said

---@class harness.CmakeOptions : harness.TreeOptions
---@field defines? table<string, string|number|boolean> -DNAME=VALUE, sorted; ON and OFF for booleans
---@field build_type? string CMAKE_BUILD_TYPE: "Release", "Debug", …
---@field generator? string "Ninja", …; CMake's own choice unless said
---@field target? string "all" unless said

---@class harness.CargoOptions : harness.TreeOptions
---@field profile? string "release" unless said
---@field features? string[] --features

---@class harness.MetricOptions
---@field [1]? string a Lua pattern whose first capture is the number
---@field json? string instead: its place in JSON that is printed, "timing.total"; items of lists are numbered from 1
---@field csv? string instead: its column in CSV that is printed; the last row counts
---@field fn? fun(run: harness.Run): number instead: looks at each run, on the node that measured, and says the figure
---@field unit? string for people
---@field better? "less"|"more" which direction is an improvement

---@class harness.VerifyOptions
---@field exit_code? integer required exit code; 0 unless said
---@field stdout? string the whole standard output
---@field pattern? string a Lua pattern that must match the output
---@field hash? string BLAKE3 of the output, 32 hex digits
---@field reference? harness.Future|harness.Argument[]|string standard output must equal this one: a future, a command (run once) or a file
---@field rtol? number relative tolerance of numbers
---@field atol? number absolute tolerance of numbers
---@field files? table<string, string|harness.FileOptions> files that the run must have written into its scratch folder, and what they must equal: paths of files here
---@field fn? fun(run: harness.Run): boolean, string? looks at the run, on the node that measured: true, or false and why
---@field every? boolean check every sample, not only the first run

--- A run as functions of `metrics` and `verify` see it.
---@class harness.Run
---@field stdout string what it wrote; head and tail of more than 16 MiB
---@field stderr string what it wrote there; head and tail of more than 1 MiB
---@field stdout_bytes integer bytes it wrote, kept or not
---@field stderr_bytes integer the same
---@field exit_code? integer
---@field phase "warmup"|"sample" is it counted?
---@field dir string the folder it ran in, absolute; relative paths begin there
---@field params? table<string, any> those of its measurement
---@field metrics table<string, number> figures that were read from its output; none that functions say
---@field wall_s number
---@field user_s? number none of an MPI application, as all below
---@field sys_s? number
---@field maxrss_bytes? integer
---@field minflt? integer
---@field majflt? integer
---@field nvcsw? integer
---@field nivcsw? integer
---@field inblock? integer
---@field oublock? integer

---@class harness.FileOptions
---@field reference string the path of a file with the content it must have
---@field rtol? number relative tolerance of numbers
---@field atol? number absolute tolerance of numbers

---@class harness.MeasureOptions : harness.TaskOptions
---@field cmd? harness.Argument[] program and arguments, no shell
---@field shell? string a line for /bin/sh -c, instead of cmd
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cwd? string a folder relative to the campaign's, or "scratch"
---@field stdin? string what the program reads
---@field inputs? string[] files put into the scratch folder under the same relative path; a `..` in it becomes `__`
---@field ok_codes? integer[] exit codes that count as success
---@field limits? harness.LimitsOptions what each of its processes may take
---@field nodes? integer an MPI application: nodes it has; 1 unless said
---@field ranks? integer all ranks; one on each node unless said
---@field ranks_per_node? integer instead of ranks or nodes
---@field gpus_per_rank? integer GPUs of each rank; on each node ranks_per_node times as many are reserved
---@field launcher? string "auto" (the default), "mpiexec", "srun", "aprun", "jsrun", "none", or a line with {ranks} {nodes} {ranks_per_node} {gpus_per_rank} {hosts} {hostfile}
---@field launcher_args? string[] come after the launcher's own arguments
---@field runs? integer a fixed number of samples instead of the stop rule
---@field precision? number half-width of the interval of the median at which to stop; 0.02 unless said
---@field min_runs? integer samples before the rule is asked; 10 unless said
---@field max_runs? integer samples at the most; 100 unless said
---@field max_time? harness.Duration sampling at the most; 60 s unless said
---@field warmup? integer runs before the first sample; 1 unless said
---@field metrics? table<string, string|harness.MetricOptions> figures of its runs
---@field objective? string the figure that counts; "wall_s" unless said
---@field better? "less"|"more" which direction of it is an improvement
---@field numa? "local" its cores and its memory are of one NUMA node
---@field smt? boolean false: one thread of each of its cores; true: all; as many as it takes unless said
---@field exclusive? "node"|"socket"|"cores"|false what it has to itself: its node (the default), or a socket or `cores` cores with others like it beside it; false: nothing
---@field counters? string[] events to count, by perf's names, in runs after the samples: "instructions", "page-faults", "memory-peak", ...
---@field energy? boolean what each sample consumes; only on a node or socket of its own
---@field strict? boolean refuse a node that is noisy, with the reasons; false unless said
---@field verify? harness.VerifyOptions what makes a run count
---@field setup? harness.Argument[]|string before everything else: a command, or a line for /bin/sh -c
---@field prepare? harness.Argument[]|string the same before each run, those of the warm-up too
---@field conclude? harness.Argument[]|string after each run
---@field cleanup? harness.Argument[]|string once at the end, whatever that was

---@class harness.VariantOptions
---@field cmd? harness.Argument[] program and arguments, no shell
---@field shell? string a line for /bin/sh -c, instead of cmd
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cwd? string a folder relative to the campaign's, or "scratch"
---@field stdin? string what the program reads
---@field inputs? string[] files put into the scratch folder under the same relative path; a `..` in it becomes `__`
---@field ok_codes? integer[] exit codes that count as success
---@field limits? harness.LimitsOptions what each of its processes may take
---@field warmup? integer runs before the first round; 1 unless said
---@field metrics? table<string, string|harness.MetricOptions> figures of its runs
---@field verify? harness.VerifyOptions what makes a run count
---@field setup? harness.Argument[]|string before everything else: a command, or a line for /bin/sh -c
---@field prepare? harness.Argument[]|string the same before each run, those of the warm-up too
---@field conclude? harness.Argument[]|string after each run
---@field cleanup? harness.Argument[]|string once at the end, whatever that was
---@field ranks? integer an MPI application: all its ranks; as for measure
---@field ranks_per_node? integer instead of ranks
---@field launcher? string as for measure
---@field launcher_args? string[] come after the launcher's own arguments
---@field params? table<string, any> its point, if it is one of many

--- What is said here counts for every variant that does not say it itself.
---@class harness.CompareOptions : harness.TaskOptions
---@field base harness.VariantOptions what the others are compared with
---@field [string] harness.VariantOptions|any a variant, under a name of its own
---@field cmd? harness.Argument[] program and arguments, no shell
---@field shell? string a line for /bin/sh -c, instead of cmd
---@field env? table<string, string|number> set on top of the environment of harness, from which the variables of an MPI launcher are removed
---@field cwd? string a folder relative to the campaign's, or "scratch"
---@field stdin? string what the program reads
---@field inputs? string[] files put into the scratch folder under the same relative path; a `..` in it becomes `__`
---@field ok_codes? integer[] exit codes that count as success
---@field limits? harness.LimitsOptions what each of its processes may take
---@field warmup? integer runs before the first round; 1 unless said
---@field metrics? table<string, string|harness.MetricOptions> figures of its runs
---@field verify? harness.VerifyOptions what makes a run count
---@field setup? harness.Argument[]|string before everything else: a command, or a line for /bin/sh -c
---@field prepare? harness.Argument[]|string the same before each run, those of the warm-up too
---@field conclude? harness.Argument[]|string after each run
---@field cleanup? harness.Argument[]|string once at the end, whatever that was
---@field objective? string the figure that counts; "wall_s" unless said
---@field better? "less"|"more" which direction of it is an improvement
---@field numa? "local" its cores and its memory are of one NUMA node
---@field smt? boolean false: one thread of each of its cores; true: all; as many as it takes unless said
---@field exclusive? "node"|"socket"|"cores"|false as for measure
---@field strict? boolean refuse a node that is noisy, with the reasons; false unless said
---@field counters? string[] events to count, as for measure, in up to three runs of each after the last round
---@field energy? boolean what each sample consumes; only on a node or socket of its own
---@field nodes? integer MPI applications: nodes that all variants have in turns; as many as the base needs unless said
---@field ranks? integer all ranks; one on each node unless said
---@field ranks_per_node? integer instead of ranks or nodes
---@field gpus_per_rank? integer GPUs of each rank
---@field launcher? string as for measure
---@field launcher_args? string[] come after the launcher's own arguments
---@field blocks? integer|"all" on so many nodes of the pool, on each rounds of its own; one node unless said
---@field max_rounds? integer rounds at the most, each variant runs once in each; 60 unless said
---@field max_time? harness.Duration rounds at the most; no limit unless said
---@field min_effect? number the least relative difference that matters; 0.01 unless said

---@class harness.SpawnOptions
---@field workers? integer|"auto"
---@field per_node? integer workers on each node
---@field slots? integer|"cores" tasks at a time on each worker
---@field gpus? integer GPUs of each node, where they cannot be seen or not all are to be used; those that are seen unless said
---@field resources? table<string, integer> what tasks of the pool share out by name, and how much there is: { license = 2 }
---@field hosts? string[] only these
---@field start? "auto"|"local"|"spawn"|"static"|"srun"|"ssh" how workers come
---@field root_node? "auto"|"measure"|"spare" the root's own node: no measurements while others would do ("auto"), any, or no worker
---@field placement? "strict"|"warn" a worker on another node than planned is an error ("strict"), or told and used
---@field quarantine? integer|false after so many faults of a node nothing more starts there; 3 unless said
---@field env? table<string, string|number> set for every task
---@field cwd? string folder of every task, relative to the campaign's (the default)
---@field init? fun(worker: harness.Here) runs in each slot before its first call
---@field init_timeout? harness.Duration from the start of a slot to the end of its init; 60 s unless said
---@field memory? harness.Size most that the Lua values of a slot may take

---@class harness.GrowOptions
---@field workers? integer how many more
---@field per_node? integer how many more on each node
---@field hosts? string[] only on these
---@field job? string|integer on the nodes of another job of yours, by its number in Slurm

---@class harness.SessionOptions
---@field cmd (string|number)[] program and arguments, no shell
---@field env? table<string, string|number> set on top of the slot's environment
---@field cwd? string a folder relative to the campaign's (the default)
---@field timeout? harness.Duration that an answer may take; 60 s unless said
---@field stderr? "kept"|"shown" what becomes of its standard error: the end is kept (the default), or it is passed on as well, to where tasks print
---@field init? fun(session: harness.Session) makes its state, at each start; with it a process that is gone is started again by the next question

---@class harness.RequestOptions
---@field [integer] any the name of a function, then its arguments
---@field timeout? harness.Duration that the answer may take

---@class harness.TimeOptions
---@field [integer] any the arguments of the call
---@field min_time? harness.Duration that a sample takes; 10 ms unless said
---@field samples? integer how many; 15 unless said

---@class harness.WaitOptions
---@field count? integer|"all" how many must be done
---@field timeout? harness.Duration

---@class harness.MapOptions
---@field in_flight? integer calls at a time; unless said 1000, or 8 for each slot if that is more; of short calls up to 8192 for each slot, and a million in all; of a list 8 for each slot until it is known how long they take
---@field ordered? boolean results in the order of the items (true unless said) or as they come
---@field timeout? harness.Duration that each call may run, up to 10 ms more where several travel together; the error of the first that takes longer says which item it was

---@class harness.BudgetOptions
---@field trials? integer tasks that ended for reasons of their own; builds and runs of references do not count
---@field measurements? integer those of them that are measurements
---@field seconds? harness.Duration time of tasks in their slots, summed
---@field node_hours? number the same in hours, times the nodes of each

-- The strategies stand here one by one: of an alias beside a class emmylua_check takes none.
--- What a search is about: of `search.new`, and of `search.run`.
---@class harness.SearchOptions
---@field space table<string, any[]>|harness.Sweep|harness.Sequences lists of values by name, a sweep, or sequences of actions
---@field strategy? "annealing"|"bandit"|"evolution"|"external"|"genetic"|"grid"|"halving"|"hill_climb"|"lhs"|"mcts"|"optuna"|"race"|"random"|"sobol"|harness.Strategy a name, or search.NAME{ options }; "bandit" unless said, with several objectives "genetic"
---@field name? string|number its random numbers are of this name; "search" unless said
---@field minimise? string|string[] the figures that should be small
---@field maximise? string|string[] those that should be large
---@field at_most? table<string, number> limits of figures: what is beyond them is infeasible
---@field at_least? table<string, number>
---@field start? table<string, any>[] points of the space to try first

---@class harness.SearchRunOptions : harness.SearchOptions
---@field evaluate fun(point: table<string, any>, trial: harness.Trial): any, string?, string? a task, a future or what `tell` takes
---@field budget? integer|harness.BudgetOptions|harness.Budget trials, or limits of which the first ends it; grid, mcts and race end without one
---@field in_flight? integer trials at a time; two for each node unless said
---@field pool? harness.Pool the newest unless said
---@field cutoff? number a task may take so many times what that of the best took; then it is censored
---@field baseline? table<string, any> the point that the winner is compared with at the end; `evaluate` has to give tasks of measure
---@field confirm? harness.ConfirmOptions|false

---@class harness.ConfirmOptions
---@field top? integer finalists; 3 unless said
---@field timeout? harness.Duration that all of it may take; follows from those of the measurements unless said
---@field max_rounds? integer as for compare
---@field max_time? harness.Duration as for compare
---@field min_effect? number as for compare

---@class harness.SequencesOptions
---@field actions any[]|fun(before: any[]): any[] what there is to choose from, always or after those before; a function is asked once of each beginning, and may await
---@field name? string|number the parameter that holds the list; "steps" unless said
---@field min? integer actions at least; 1 unless said
---@field max? integer actions at the most; 8 unless said

---@class harness.LhsOptions
---@field points? integer of one hypercube; as many as there are trials, or 20

---@class harness.ClimbOptions
---@field kick? integer values that are changed where a climb ended; a third of them, two at least

---@class harness.AnnealingOptions
---@field hot? number temperature at the beginning; 0.5 unless said
---@field cold? number at the end; 0.01 unless said
---@field steps? integer trials from one to the other; as many as there are, or 100

---@class harness.GeneticOptions
---@field population? integer 20 unless said
---@field crossover_rate? number 0.8 unless said
---@field mutation_rate? number of what was crossed; 0.7 unless said
---@field tournament? integer 3 unless said
---@field crossover? fun(a: any, b: any, random: harness.Random): any? of two points, or two lists of actions; nil: as without it
---@field mutate? fun(a: any, random: harness.Random): any?

---@class harness.EvolutionOptions
---@field population? integer 10 unless said
---@field weight? number of differences (F); 0.7 unless said
---@field crossover_rate? number (CR); 0.9 unless said

---@class harness.BanditOptions
---@field strategies? harness.BanditArm[] genetic, evolution, hill_climb and annealing; of sequences mcts instead of evolution
---@field window? integer results that count; 500 unless said
---@field exploration? number (C); 0.05 unless said

---@class harness.MctsOptions
---@field exploration? number (c of UCT); 0.5 unless said
---@field widening? number children of a node by the root of its visits; 2 unless said

---@class harness.HalvingOptions
---@field min_budget? number of the first rung; 1 unless said
---@field max_budget? number of the last one; 9 unless said
---@field eta? integer the best 1/eta go on, with eta times the budget; 3 unless said
---@field candidates? integer points of a first rung; as many as leave one or more for the last

---@class harness.RaceOptions
---@field candidates? integer points that begin; 16 unless said
---@field min_blocks? integer blocks before anybody is out; 5 unless said
---@field max_blocks? integer 20 unless said
---@field alpha? number chance of an error in one test; 0.05 unless said

---@class harness.ExternalOptions
---@field cmd (string|number)[] program and arguments, no shell
---@field options? table<string, any> what it is told in the first line
---@field env? table<string, string|number> set for it
---@field cwd? string a folder relative to the campaign's (the default)
---@field timeout? harness.Duration that an answer may take; 60 s unless said
---@field stderr? "kept"|"shown" what becomes of its standard error: the end is kept, for messages (the default), or it is passed on as well

---@class harness.OptunaOptions
---@field sampler? "tpe"|"cmaes"|"gp"|"nsga2"|"nsga3"|"qmc"|"random" tpe unless said, with several objectives nsga2
---@field settings? table<string, any> what the sampler takes: { n_startup_trials = 20 }
---@field python? string that has Optuna; "python3" unless said
---@field timeout? harness.Duration that an answer may take; 60 s unless said
---@field stderr? "kept"|"shown" as for external

---@class harness.ResultsOptions
---@field name? string|number
---@field status? harness.Status
---@field where? fun(record: harness.Measurement): boolean

---@class harness.CsvOptions
---@field rows? "measurements"|"samples"

--- A task that was described and not yet submitted.
---@class harness.Task

--- A promise of what a task or a flow results in.
---@class harness.Future
---@field id? integer the task's number
local Future = {}

--- Waits at most `timeout` (for ever without one); is it done?
---@param timeout? harness.Duration
---@return boolean
function Future:wait(timeout) end

--- Is it done? Looks at what has ended meanwhile. In a loop it lets other flows go on now and then.
---@return boolean
function Future:done() end

--- "pending" until its end is known (also right after cancel), or how it ended in one word: its status.
---@return harness.Status|"pending"
function Future:status() end

--- Ends the task or the flow, if it is not done. A future as a <close> variable is cancelled at the end of its block.
function Future:cancel() end

--- Runs `fn(future)` in a flow of its own once it is done.
---@param fn fun(future: harness.Future)
---@return harness.Future self
function Future:on_done(fn) end

--- What a function task that failed raises in `await`.
---@class harness.Error
---@field kind harness.Status
---@field message string
---@field traceback? string frames of the campaign on the slot
---@field host? string
---@field task? integer number of the task
---@field item? integer in a `map`: place of the item it was called with
---@field value? any the error value, if it could be shipped
---@field cause? harness.Record|harness.Error of a skipped call: what failed before it

---@class harness.Record
---@field kind "exec"|"compile"|"measure"|"compare"
---@field ok boolean
---@field status harness.Status
---@field reason? string why, unless it is ok
---@field cause? harness.Record|harness.Error of a skipped task: what failed before it
---@field host? string where it ran
---@field elapsed_s number seconds it occupied its slot
---@field name? string
---@field params? table<string, any>
---@field summary string a line for people; tostring gives it too

---@class harness.ExecRecord : harness.Record
---@field exit_code? integer
---@field signal? integer
---@field stdout string
---@field stderr string
---@field stdout_bytes integer bytes it wrote, kept or not
---@field stderr_bytes integer
---@field wall_s? number
---@field user_s? number
---@field sys_s? number
---@field maxrss_bytes? integer
---@field minflt? integer page faults without I/O
---@field majflt? integer page faults with I/O
---@field nvcsw? integer voluntary context switches
---@field nivcsw? integer involuntary context switches
---@field inblock? integer blocks of 512 B read
---@field oublock? integer blocks of 512 B written
---@field outputs table<string, string> path to content hash: in the cache of its `host` it is objects/HH/REST, HH its first two digits
---@field argv? string[]
---@field leftovers? integer processes it left behind
---@field conditions? harness.Conditions where it was kept, if it asked for cores
---@field hosts? string[] nodes of an MPI application, the launcher's own first
---@field ranks? integer
---@field launcher_argv? string[] the launcher's part of argv

--- What a compiler said, of gcc's, clang's, gfortran's or nvcc's forms.
---@class harness.Message
---@field severity "error"|"warning"|"note"
---@field text string its first line
---@field file? string none if it is about no file
---@field line? integer
---@field column? integer

---@class harness.CompileRecord : harness.Record
---@field artefact? string content hash
---@field artefact_bytes? integer
---@field text_hash? string of its code and data alone: the same for builds that differ in nothing that is run
---@field diagnostics string all that was said
---@field messages harness.Message[] the same, parsed
---@field cache? "off"|"miss"|"hit"|"negative"
---@field wall_s? number
---@field argv? string[]
---@field compiler? string
---@field exit_code? integer
---@field signal? integer

---@class harness.Interval
---@field lo number
---@field hi number
---@field level number
---@field exact_level number

---@class harness.Summary
---@field n integer
---@field min number
---@field p05 number
---@field q1 number
---@field median number
---@field q3 number
---@field p95 number
---@field max number
---@field mean number
---@field sd number
---@field mad number
---@field ci? harness.Interval none below 7 samples
---@field rel_half_width? number

---@class harness.Metric
---@field unit? string
---@field better "less"|"more"
---@field value number[]
---@field stats harness.Summary only where the status is ok

--- What the node was like meanwhile: pairs are before and after. What cannot be had is nil.
---@class harness.Conditions
---@field cpus? string where it was kept, "0-3,8"
---@field mems? string the NUMA node its memory comes from
---@field smt? "one-per-core"|"all"
---@field neighbours? integer[] tasks by number that were measured beside it, each on cores of its own
---@field freq_hz? number[] mean of the CPUs
---@field temp_c? number[] the hottest sensor
---@field load1? number[]
---@field throttle_count? integer times it was throttled meanwhile
---@field psi_cpu_some_s? number seconds in which something waited for a CPU
---@field psi_mem_some_s? number
---@field psi_io_some_s? number
---@field others_cpu_s? number CPU time of processes that are not of this worker
---@field steal_s? number CPU time the hypervisor gave to others
---@field energy_note? string why there is no energy, if it was asked for

---@class harness.Counter
---@field value number[] scaled to the whole run; an entry for each run that has one
---@field pcnt_running number[] part of the run in which it was counted, %
---@field note? string why it could not be counted, or what is not in it

---@class harness.Measurement : harness.Record
---@field objective? string
---@field unit? string of the objective: that of its metric, else the SI's
---@field better? "less"|"more"
---@field stats? harness.Summary of the objective; only where the status is ok
---@field samples table<string, number[]> figures of the counted runs by name
---@field warmup? table<string, number[]> figures of the runs before
---@field metrics table<string, harness.Metric>
---@field flags string[]
---@field stop_reason? "precise"|"max_runs"|"max_time"|"fixed"|"failed"
---@field verify? { status: string, method: string, max_abs_err: number? }
---@field counters? table<string, harness.Counter> by event
---@field conditions? harness.Conditions
---@field floor_s? number
---@field maxrss_floor_bytes? integer what a program is shown with that needs less
---@field exit_code? integer
---@field signal? integer
---@field stderr_tail? string
---@field argv? string[]
---@field hosts? string[] nodes of an MPI application, the launcher's own first
---@field ranks? integer
---@field launcher_argv? string[] the launcher's part of argv
---@field same_as? { id: string, what: string } the measurement of the same program whose figures these are
---@field hooks? harness.HookTimes what ran around the runs took, if anything did

---@class harness.HookTimes
---@field setup_s? number
---@field prepare_s number[] in order, those of the warm-up first, of runs for counters last
---@field conclude_s number[]
---@field cleanup_s? number
---@field cleanup_failure? string why it failed, if it did

---@class harness.Verdict
---@field verdict "faster"|"slower"|"equivalent"|"different_but_small"|"unresolved"|string or how its runs ended, if not well
---@field ratio? number median over the rounds; above 1 it is better than the base
---@field lo? number
---@field hi? number
---@field rounds integer
---@field reason? string why there is no verdict

---@class harness.Comparison : harness.Record
---@field verdicts table<string, harness.Verdict> by the name of the variant
---@field variants table<string, harness.Measurement> the runs of each, the base's too
---@field conditions? harness.Conditions
---@field rounds? integer
---@field stop_reason? "settled"|"max_rounds"|"max_time"|"failed"
---@field min_effect? number
---@field order_seed? integer

--- What the nodes of `compare{ blocks = ... }` say together; its future is that of a flow.
---@class harness.Blocks : harness.Comparison
---@field verdicts table<string, harness.BlocksVerdict> by the name of the variant
---@field nodes table<string, harness.Comparison> by host, of each node whose comparison is ok
---@field failed_nodes table<string, harness.Comparison> of the others
---@field slow_nodes string[] hosts whose base is slow

---@class harness.BlocksVerdict : harness.Verdict
---@field differs_by_node boolean the intervals of two nodes have nothing in common: the verdict is what holds on each, and so are `lo` and `hi`; these also where it is only likely that the effect differs
---@field nodes table<string, harness.Verdict> what each says by itself, by host

---@class harness.Worker
---@field id integer
---@field host string
---@field slots integer
---@field cores integer
---@field gpus integer of its node
---@field start "local"|"spawn"|"static"|"srun"|"ssh"
---@field measures boolean false on the root's own node, while the pool has others

--- Where a task runs.
---@class harness.Here
---@field id integer number of the worker
---@field slot integer number of the slot in its worker
---@field host string
---@field gpus string[] GPUs that the call under way was given, as CUDA_VISIBLE_DEVICES names them
---@field state table what stays from one call of this slot to the next

--- A helper process of a slot.
---@class harness.Session
---@field starts integer how often its process was started
local Session = {}

--- Sends a table and waits for the table it answers. Without one it raises a `harness.Error`, whose `kind` says what
--- happened: `timeout`, `signal`, `nonzero_exit`, `cancelled` or `error`.
---@param question table
---@param timeout? harness.Duration
---@return table
function Session:request(question, timeout) end

--- The same with the text of JSON, a line each: null and empty lists are what they were, which tables cannot say. With `bytes` the
--- line is an object, which is sent as `{"bytes":N,…}`: N bytes and a newline follow it. So may the answer be: what follows it is
--- returned second. With `seq`, the whole number that the line has as its field `seq`, the answer must have the same: one that
--- has not is to another question, and ends the process.
---@param line string
---@param timeout? harness.Duration
---@param bytes? string
---@param seq? integer
---@return string answer
---@return string? bytes
function Session:exchange(line, timeout, bytes, seq) end

--- Calls a function that the process serves: { "name", arguments ..., timeout = "5 s" }. What the function raises is a
--- `harness.Error` with its traceback, and the process goes on.
---@param call harness.RequestOptions
---@return any
function Session:call(call) end

--- The end of what the process wrote to its standard error, 64 KiB at the most.
---@return string
function Session:stderr() end

--- Ends the process.
function Session:close() end

--- A set of workers. Closed by `close`, as a `<close>` variable, or at the end of the script.
---@class harness.Pool
---@field id integer
---@field workers harness.Worker[] those there were when it was opened or grown last; one that was lost since is among them
---@field closed? boolean
local Pool = {}

--- Like `submit`, on this pool.
---@param what function|harness.Task
---@param ... any
---@return harness.Future
function Pool:submit(what, ...) end

--- Starts further workers and waits until they are ready; gives them. On nodes that have none if neither
--- a number nor hosts are given.
---@param options? harness.GrowOptions
---@return harness.Worker[]
function Pool:grow(options) end

--- Retires the workers once the tasks of the pool are done.
function Pool:close() end

--- Limits of one kind each; only those that were given.
---@class harness.Spent
---@field trials? integer
---@field measurements? integer
---@field seconds? number
---@field node_hours? number

--- What a search may still spend. Ends that the journal answers count like those of this run.
---@class harness.Budget
local Budget = {}

--- What is left of each limit; never below zero.
---@return harness.Spent
function Budget:left() end

--- What was spent since the budget was made, all four figures.
---@return harness.Spent
function Budget:spent() end

--- Is one of the limits reached?
---@return boolean
function Budget:done() end

--- Measurements of this run; read-only.
---@class harness.Results
---@field [integer] harness.Measurement
local Results = {}

--- The record whose median of a figure ("wall_s" unless said) is least, and that median; nil if there is no valid record.
---@param figure? string
---@return harness.Measurement?, number?
function Results:min(figure) end

--- The record whose median of a figure is largest, and that median; nil if there is no valid record.
---@param figure? string
---@return harness.Measurement?, number?
function Results:max(figure) end

--- The record whose median of its objective is best, and that median: the least time, or the largest rate where `better = "more"` was
--- asked for. Nil if there is no valid record; records of different objectives are an error.
---@return harness.Measurement?, number?
function Results:best() end

--- The records by their value of a parameter that some measurement has; tables that say the same are one value.
---@param param string
---@return table<any, harness.Results>
function Results:group(param) end

--- A table for people: a line for each record, by name and parameters.
---@return string
function Results:table() end

--- Writes a CSV file, below the folder where harness was started unless the path is absolute; gives the number of rows.
---@param path string
---@param options? harness.CsvOptions
---@return integer
function Results:csv(path, options) end

---@class harness.Random
local Random = {}

--- A float from `low` (0) up to, but not including, `high` (1).
---@param low? number
---@param high? number
---@return number
function Random:float(low, high) end

--- A whole number from `low` to `high`.
---@param low integer
---@param high integer
---@return integer
function Random:integer(low, high) end

--- A float of the normal distribution.
---@param mean? number 0 unless said
---@param sd? number 1 unless said
---@return number
function Random:normal(mean, sd) end

--- One item of a list.
---@generic T
---@param list T[]
---@return T
function Random:pick(list) end

--- A copy of a list, in random order.
---@generic T
---@param list T[]
---@return T[]
function Random:shuffle(list) end

--- `require "harness.recipes"`, in scripts: builds by other build tools, as tasks like those of `compile`. With `cores = n`
--- they run n jobs at a time.
---@class harness.Recipes
local recipes = {}

--- make, of everything anew.
---@param options harness.MakeOptions
---@return harness.Task
function recipes.make(options) end

--- CMake: configures and builds in a folder beside the copy of the sources.
---@param options harness.CmakeOptions
---@return harness.Task
function recipes.cmake(options) end

--- cargo build.
---@param options harness.CargoOptions
---@return harness.Task
function recipes.cargo(options) end

--- Points of `harness.sweep`: plain tables of parameters, read as a list and computed when they are asked for. To ask a point for a
--- parameter that none of them has is an error.
---@class harness.Sweep
---@field [integer] table<string, any>
local Sweep = {}

--- The points for which `fn(point)` is true.
---@param fn fun(point: table<string, any>): any
---@return harness.Sweep
function Sweep:where(fn) end

--- All points but these: those for which a function is true, or that say what a point of the list says.
---@param what table<string, any>[]|fun(point: table<string, any>): any
---@return harness.Sweep
function Sweep:exclude(what) end

--- `n` of the points (all, if there are no more), each as likely as any other, in their order.
---@param n integer
---@param random? harness.Random harness.random "sweep" unless said
---@return harness.Sweep
function Sweep:sample(n, random) end

--- The points in another order: "random", or by what a function says they cost, the cheapest first.
---@param by "random"|fun(point: table<string, any>): number
---@param random? harness.Random harness.random "sweep" unless said
---@return harness.Sweep
function Sweep:order(by, random) end

--- `require "harness.sweep"`, in scripts.
---@class harness.Sweeps
---@field Sweep table class of what its functions give
local sweep = {}

--- Every combination of the values; the last parameter, by name, changes from point to point. Items of the list are
--- sweeps, whose points are combined as they are.
---@param lists table<string|integer, any[]>
---@return harness.Sweep
function sweep.cross(lists) end

--- The first values together, then the second ones, and so on.
---@param lists table<string|integer, any[]>
---@return harness.Sweep
function sweep.zip(lists) end

--- The points of each list, one list after the other.
---@param ... table<string, any>[]
---@return harness.Sweep
function sweep.list(...) end

--- The numbers from `low` to `high`: values of a parameter.
---@param low number
---@param high number
---@param step? number 1 unless said
---@return number[]
function sweep.range(low, high, step) end

--- The powers of two from `low` to `high`: values of a parameter.
---@param low number
---@param high number
---@return integer[]
function sweep.pow2(low, high) end

--- The points of a list for which `fn(point)` is true.
---@param list table<string, any>[]
---@param fn fun(point: table<string, any>): any
---@return harness.Sweep
function sweep.where(list, fn) end

--- All points of a list but these.
---@param list table<string, any>[]
---@param what table<string, any>[]|fun(point: table<string, any>): any
---@return harness.Sweep
function sweep.exclude(list, what) end

--- `n` of the points of a list (all, if there are no more), each as likely as any other, in their order.
---@param list table<string, any>[]
---@param n integer
---@param random? harness.Random harness.random "sweep" unless said
---@return harness.Sweep
function sweep.sample(list, n, random) end

--- The points of a list in another order: "random", or by what a function says they cost.
---@param list table<string, any>[]
---@param by "random"|fun(point: table<string, any>): number
---@param random? harness.Random harness.random "sweep" unless said
---@return harness.Sweep
function sweep.order(list, by, random) end

--- A point that a search asked for, and what came of it.
---@class harness.Trial
---@field id integer from 1, in the order they were asked for
---@field point table<string, any>
---@field status "running"|"ok"|"failed"|"pruned"|"censored"|"infeasible"
---@field value? number the figure of a single objective; of what is censored a bound
---@field values? table<string, number> all figures that count, by name
---@field reason? string why there is no figure
---@field record? harness.Record of the task that was evaluated
---@field budget? number what to spend on it, as strategy "halving" says
---@field block? integer the block it is in, as strategy "race" says
---@field limit? number seconds it may take, by `cutoff`
local Trial = {}

--- A figure on the way, of a step (the next one unless said). True: worse than the median of earlier trials at this step, so
--- that it may be given up: `return nil, "pruned"`.
---@param value number
---@param step? integer
---@return boolean
function Trial:report(value, step) end

--- A search by ask and tell.
---@class harness.Search
local Search = {}

--- The next trial; nil if nothing is left, or nothing before more trials are told.
---@return harness.Trial?
function Search:ask() end

--- What came of a trial: a number, numbers by name or the record of a measurement; or nothing, and "failed", "pruned" or
--- "censored" (with a bound, if there is one).
---@param trial harness.Trial|integer the trial or its id
---@param told? number|table<string, number>|harness.Record
---@param status? "ok"|"failed"|"pruned"|"censored"
---@param reason? string
---@return harness.Trial
function Search:tell(trial, told, status, reason) end

--- The best trial so far.
---@return harness.Trial?
function Search:best() end

--- The trials that no other is better than in all objectives.
---@return harness.Trial[]
function Search:front() end

--- All trials, in the order they were asked for.
---@return harness.Trial[]
function Search:trials() end

--- Ends the program that decides (`external`, `optuna`), once it has heard everything; a <close> variable does so too. There is
--- nothing to close with other strategies.
function Search:close() end

--- What `search.run` gives. As a text: the best, its shrunk figure, and what was measured afresh.
---@class harness.SearchResult
---@field search harness.Search
---@field trials harness.Trial[]
---@field best? harness.Trial whose figure is best; none with several objectives
---@field front? harness.Trial[] with several objectives
---@field ranking? harness.Trial[] all that are ok, best first
---@field shrunk? number the figure of the best, without what luck is likely to have given to it
---@field failures table<string, integer> how many trials have no figure that counts, by kind: `verify_failed`, `timeout`, `censored`, …
---@field name? string|number as it was given
---@field winner? harness.Trial who is best afresh; `best` where nothing was confirmed, without a `fresh`
---@field runner_up? harness.Trial who comes next
---@field fresh? number the winner's fresh figure
---@field worth? string the same for people: with its unit, its interval and the number of runs
---@field baseline? number that of the baseline, from the same comparison
---@field over_baseline? harness.Verdict the winner beside the baseline
---@field over_runner_up? harness.Verdict the winner beside the runner-up
---@field confirmed? harness.Comparison the comparison that says so

--- A strategy with options, for `strategy`.
---@class harness.Strategy

--- A space of sequences, for `space`.
---@class harness.Sequences

--- `require "harness.search"`, in scripts.
---@class harness.Searches
local search = {}

--- A search by ask and tell.
---@param options harness.SearchOptions
---@return harness.Search
function search.new(options) end

--- A whole search: asks, evaluates with every node busy, tells, and at the end confirms what it found.
---@param options harness.SearchRunOptions
---@return harness.SearchResult
function search.run(options) end

--- What several searches came to, as text, a row for each: baseline, best, the confirmed ratio with its interval, what has no
--- figure, the point.
---@param results harness.SearchResult[]
---@return string
function search.table(results) end

--- A space of sequences of actions.
---@param options harness.SequencesOptions
---@return harness.Sequences
function search.sequences(options) end

--- Every point, the last parameter by name changing from point to point.
---@return harness.Strategy
function search.grid() end

--- Points at random, none twice.
---@return harness.Strategy
function search.random() end

--- Latin hypercubes.
---@param options? harness.LhsOptions
---@return harness.Strategy
function search.lhs(options) end

--- Sobol's sequence, shifted at random.
---@return harness.Strategy
function search.sobol() end

--- Hill climbing, begun again from the best with some values changed.
---@param options? harness.ClimbOptions
---@return harness.Strategy
function search.hill_climb(options) end

--- Simulated annealing.
---@param options? harness.AnnealingOptions
---@return harness.Strategy
function search.annealing(options) end

--- A steady-state genetic algorithm; with several objectives NSGA-II's order.
---@param options? harness.GeneticOptions
---@return harness.Strategy
function search.genetic(options) end

--- Differential evolution, DE/rand/1/bin.
---@param options? harness.EvolutionOptions
---@return harness.Strategy
function search.evolution(options) end

--- Monte Carlo tree search over values or actions.
---@param options? harness.MctsOptions
---@return harness.Strategy
function search.mcts(options) end

--- Several strategies; who found something better lately is asked more often.
---@param options? harness.BanditOptions
---@return harness.Strategy
function search.bandit(options) end

--- Successive halving: `trial.budget` says what to spend.
---@param options? harness.HalvingOptions
---@return harness.Strategy
function search.halving(options) end

--- A race in blocks: `trial.block` says which.
---@param options? harness.RaceOptions
---@return harness.Strategy
function search.race(options) end

--- A program of yours decides, in any language: lines of JSON (docs/search.md).
---@param options harness.ExternalOptions
---@return harness.Strategy
function search.external(options) end

--- A sampler of Optuna decides. Optuna has to be in the Python that runs it.
---@param options? harness.OptunaOptions
---@return harness.Strategy
function search.optuna(options) end

--- `require "harness.json"`, in scripts and tasks.
---@class harness.Json
---@field null table JSON's null
---@field Null table its class
---@field List table class of what `json.list` marks
local json = {}

--- JSON in one line, or indented. Names come in alphabetical order. Raises for what JSON cannot say: NaN, bytes,
--- functions, tables with names and a list. An empty table is `{}`.
---@param value any
---@param indent? boolean
---@return string
function json.encode(value, indent) end

--- The value of a JSON text; nil and why if it is none. An empty array is as `json.list` makes it, and written again it is one.
---@param text string
---@return any value
---@return string? why
function json.decode(text) end

--- Marks a list, so that it is `[]` even when it is empty; gives it back.
---@generic T
---@param list T[]
---@return T[]
function json.list(list) end

--- `require "harness.fs"`, in scripts and tasks. What the system refuses is nil and why. Paths are relative to the
--- campaign's folder.
---@class harness.Fs
local fs = {}

--- The whole file.
---@param path string
---@return string? text
---@return string? why
function fs.read(path) end

--- The whole file at once: nobody ever sees half of it.
---@param path string
---@param text string
---@return true? written
---@return string? why
function fs.write(path, text) end

--- Is there a file or a folder?
---@param path string
---@return boolean
function fs.exists(path) end

--- A folder and those above it; well if it is there.
---@param path string
---@return true? made
---@return string? why
function fs.mkdir(path) end

--- Names in a folder, in alphabetical order.
---@param path string
---@return string[]? names
---@return string? why
function fs.list(path) end

--- A new folder for what is needed for a while; it goes with the script (in a task: with its slot).
---@return string? path
---@return string? why
function fs.tempdir() end

--- `require "harness.dl"`, in tasks: calls into shared libraries.
---@class harness.Dl
---@field null? lightuserdata C's NULL
local dl = {}

--- Loads a shared library, which stays loaded as long as the slot: a path, or the name of one that the system finds. A
--- build that a task is given is its path.
---@param path string
---@return harness.Library
function dl.open(path) end

--- Memory for a library: so many numbers of a C type, all zero, or those of a list.
---@param of string
---@param what integer|number[]
---@return harness.Buffer
function dl.buffer(of, what) end

---@class harness.Library
---@field path string
local Library = {}

--- A function of the library, by its declaration in C. Calls take numbers, strings, buffers and pointers.
---@param declaration string
---@return harness.Function
function Library:fn(declaration) end

--- A function in C: `f(...)` calls it.
---@class harness.Function
---@field declaration string
---@overload fun(...: any): any
local Function = {}

--- Calls it in loops and says how long a call takes. Loops and clock are native.
---@param given harness.TimeOptions
---@return harness.TimedCalls
function Function:time(given) end

--- How long the calls of a function took, in one process: one sample of whatever varies between processes.
---@class harness.TimedCalls
---@field mean_s number of the samples, seconds for a call
---@field min_s number
---@field samples_s number[] each the mean of `calls` calls
---@field calls integer in each sample
---@field floor_s number what calling a function that does nothing takes, with the same arguments; it is in the others

--- Numbers of one C type, from 1: `b[i]`, `b[i] = x`, `#b`.
---@class harness.Buffer
---@field type string
---@field length integer
---@field [integer] number|boolean
local Buffer = {}

--- Sets all elements.
---@param value number|boolean
function Buffer:fill(value) end

--- A table of all elements, which can travel.
---@return (number|boolean)[]
function Buffer:table() end

--- The text in a buffer of char, up to its first zero byte.
---@return string
function Buffer:text() end

---@class harness
---@field json harness.Json also `require "harness.json"`
---@field fs harness.Fs also `require "harness.fs"`
---@field dl harness.Dl also `require "harness.dl"`
---@field recipes harness.Recipes also `require "harness.recipes"`
---@field sweep harness.Sweeps also `require "harness.sweep"`
---@field search harness.Searches also `require "harness.search"`
---@field Error table class of the errors of function tasks
---@field Record table class of the records of programs, builds, measurements and comparisons
---@field Results table class of what `harness.results` gives
---@field Pool table class of pools
---@field Worker table class of the workers of a pool
---@field worker harness.Here in a task: the slot it runs in
local harness = {}

--- Reads the campaign's command line: { name = { default, "what it is" } }. Gives --help.
---@param spec table<string, any>
---@return table<string, any>
function harness.args(spec) end

--- Seconds on a clock that only goes forward.
---@return number
function harness.now() end

--- In a task or in `init`: starts a helper process that reads and writes JSON Lines.
---@param options harness.SessionOptions
---@return harness.Session
function harness.session(options) end

--- A table that the journal keeps: as the last run of this script left it, or `default`. What was changed in it is
--- in the journal before the record of a task submitted after, and at the end. Strings, numbers, booleans and tables of those; 64 KiB.
---@param name string|number
---@param default? table
---@return table
function harness.state(name, default) end

--- Random numbers of this name: a sequence of its own, the same in every run with the same --seed.
---@param name? string
---@return harness.Random
function harness.random(name) end

--- A budget for a search; the first limit that is reached ends it.
---@param limits harness.BudgetOptions
---@return harness.Budget
function harness.budget(limits) end

--- Seconds until the batch system, or --deadline, ends the campaign; nil if that is not known.
---@return number?
function harness.walltime_left() end

--- The measurements that ended so far; comparisons are not among them.
---@param options? harness.ResultsOptions
---@return harness.Results
function harness.results(options) end

--- Why a future has not ended: a sentence for people.
---@param future harness.Future
---@return string
function harness.explain(future) end

--- Packs a big value that many calls need: it is sent to each node once. In a call the handle is the value.
---@generic T
---@param value T
---@return T handle
function harness.share(value) end

--- Starts workers and waits until they are ready.
---@param options? harness.SpawnOptions
---@return harness.Pool
function harness.spawn(options) end

--- Sends a task, or a call of a function with these arguments.
---@param what function|harness.Task
---@param ... any
---@return harness.Future
function harness.submit(what, ...) end

--- Waits for a future and returns its result; raises the error of a call or a flow that failed. Without a limit: `f:wait "1 s"`.
---@param future harness.Future
---@return any ...
function harness.await(future) end

--- Starts a flow: `fn(...)` runs at once until it waits.
---@param fn function
---@param ... any
---@return harness.Future
function harness.go(fn, ...) end

--- Waits for some or all; gives those that are done and those that are not.
---@param list harness.Future[]
---@param options? harness.WaitOptions
---@return harness.Future[] done, harness.Future[] pending
function harness.wait(list, options) end

--- Iterates over futures as they end; futures appended to the list meanwhile are included.
---@param list harness.Future[]
---@return fun(): harness.Future?, any, any
---@return nil, nil, any # closed when the loop is left
function harness.as_completed(list) end

--- Calls `fn` on the workers for every item; gives the results.
---@param fn function
---@param items any[]|fun(): ...
---@param options? harness.MapOptions
---@return any[] results, integer count
function harness.map(fn, items, options) end

--- A call of a function with options.
---@param options harness.CallOptions
---@return harness.Task
function harness.call(options) end

--- One run of a program.
---@param options harness.ExecOptions
---@return harness.Task
function harness.exec(options) end

--- A build whose result is an artefact.
---@param options harness.CompileOptions
---@return harness.Task
function harness.compile(options) end

--- Timed runs of a program.
---@param options harness.MeasureOptions
---@return harness.Task
function harness.measure(options) end

--- Programs in turns on one node, until it is known which are better than the base.
---@param options harness.CompareOptions
---@return harness.Task
function harness.compare(options) end

spawn, submit, await, go = harness.spawn, harness.submit, harness.await, harness.go
wait, as_completed, map = harness.wait, harness.as_completed, harness.map
call, exec, compile = harness.call, harness.exec, harness.compile
measure, compare = harness.measure, harness.compare

return harness
