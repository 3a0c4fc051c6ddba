//! GPUs as the batch system and the kernel show them to a worker, from its node to the journal.

use crate::support::{Folder, skip};

/// A worker on a node of four GPUs: in a mount namespace of its own, where the driver's device files are.
const ON_A_NODE_WITH_GPUS: &str = r#"exec unshare --mount sh -c '
mkdir -p dev && mount -t tmpfs tmpfs dev || exit 1
for file in null zero full random urandom; do touch dev/$file && mount --bind /dev/$file dev/$file; done
mkdir dev/shm && ln -s /proc/self/fd dev/fd
touch dev/nvidia0 dev/nvidia1 dev/nvidia2 dev/nvidia3 dev/nvidiactl
mount --move dev /dev || exit 1
exec "$0" "$@"' "$HARNESS" "$@""#;

#[test]
fn a_worker_finds_what_the_batch_system_gave_of_the_kernels() {
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 4 }
        print(pool.workers[1].gpus)
        local m = await(submit(measure { name = 'm', shell = 'echo \"<$CUDA_VISIBLE_DEVICES/$ROCR_VISIBLE_DEVICES>\"', gpus = 1,
          runs = 1, verify = { pattern = '<GPU%-f/>' } }))
        print(m.status, m.reason)
        print(await(submit(exec { shell = 'echo $CUDA_VISIBLE_DEVICES', gpus = 2, key = 'both' })).stdout)
        print(await(submit(exec { shell = 'echo $CUDA_VISIBLE_DEVICES', key = 'none' })).stdout)",
    );
    let mut command = folder.harness_with_worker(ON_A_NODE_WITH_GPUS, &["-q", "c.lua"]);
    command.env("CUDA_VISIBLE_DEVICES", "GPU-f,GPU-0");
    let ran = folder.finish(command);
    if ran.stderr.contains("unshare") || ran.stderr.contains("mount") {
        return skip("device files of one's own need root and unshare");
    }
    assert_eq!(ran.stdout, "2\nok\tnil\nGPU-f,GPU-0\n\nGPU-f,GPU-0\n\n", "{ran:#?}");
    let placements: Vec<_> = folder
        .journal("c.lua.journal")
        .into_iter()
        .filter(|record| record["type"] == "measurement" || record["type"] == "task")
        .map(|record| record["placement"]["gpus"].to_string())
        .collect();
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let by_node = |gpus: &str| format!("{{\"{host}\":[{gpus}]}}");
    assert_eq!(placements, [by_node("\"GPU-f\""), by_node("\"GPU-f\",\"GPU-0\""), "null".into()]);
}

#[test]
fn pools_of_a_node_share_what_the_job_was_given_and_nothing_else() {
    let folder = Folder::with(
        "local a <close> = spawn { slots = 8 }
        local b <close> = spawn { slots = 8, gpus = tonumber(arg[1]) }
        local begun = os.tmpname()
        os.remove(begun)
        assert(os.execute('mkdir ' .. begun))
        local all, n = {}, 2 * a.workers[1].gpus
        for i = 1, n do
          local pool = i % 2 == 1 and a or b
          all[i] = pool:submit(exec { params = { i = i }, gpus = 1, timeout = 20, shell = 'me=' .. begun .. '/$CUDA_VISIBLE_DEVICES; '
            .. 'mkdir $me && sleep 0.05 && rmdir $me && echo $CUDA_VISIBLE_DEVICES' })
        end
        local seen = { {}, {} }
        for i = 1, n do
          local r = await(all[i])
          assert(r.ok, r.reason)
          seen[2 - i % 2][r.stdout:match '%S+'] = true
        end
        os.remove(begun)
        for _, ids in ipairs(seen) do
          local names = {}
          for id in pairs(ids) do names[#names + 1] = id end
          for _, id in ipairs(names) do assert(arg[2]:find(id, 1, true), id) end
        end
        print(a.workers[1].gpus, b.workers[1].gpus)",
    );
    for (given, told, expected) in [("2,3", "4", "2\t2\n"), ("", "1", "4\t1\n"), ("3,1,0", "2", "3\t2\n")] {
        let allowed = if given.is_empty() { "0,1,2,3" } else { given };
        let mut command =
            folder.harness_with_worker(ON_A_NODE_WITH_GPUS, &["-q", "--fresh", "c.lua", told, allowed]);
        if !given.is_empty() {
            command.env("CUDA_VISIBLE_DEVICES", given);
        }
        let ran = folder.finish(command);
        if ran.stderr.contains("unshare") || ran.stderr.contains("mount") {
            return skip("device files of one's own need root and unshare");
        }
        assert_eq!(ran.stdout, expected, "{ran:#?}");
    }
}

#[test]
fn what_was_measured_on_a_gpu_is_answered_where_there_is_none() {
    let folder = Folder::with(
        "local pool <close> = spawn { gpus = tonumber(arg[1]) }
        for _, gpus in ipairs { 1, 2 } do
          local m = await(submit(measure { name = 'm', cmd = { 'true' }, gpus = gpus, runs = 1 }))
          print(gpus, m.status, m.reason)
        end",
    );
    let refused = "it asks for 2 GPUs of one node, and no node of pool 0 has more than 1: ask for fewer";
    let first = folder.run(&["-q", "c.lua", "1"]);
    assert_eq!(first.stdout, format!("1\tok\tnil\n2\trefused\t{refused}\n"), "{first:#?}");
    let again = folder.run(&["-q", "c.lua", "0"]);
    assert!(
        again.stdout.starts_with("1\tok\tnil\n2\trefused\tit asks for 2 GPUs of one node, "),
        "{again:#?}"
    );
}
