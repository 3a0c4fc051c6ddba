//! The columns of what tasks refer to: runs of the script, nodes, built files.

use super::cell::Cell;
use super::columns::{Column, integer, json, real, text};
use crate::model::{CompileResult, Env, Header, Session};

/// A run of the script.
pub(super) struct Begun<'a> {
    pub(super) number: usize,
    pub(super) header: Option<&'a Header>,
    pub(super) session: &'a Session,
}

/// Every run of the script.
pub(super) fn sessions<'a>() -> Vec<Column<Begun<'a>>> {
    vec![
        integer("session", |row| row.number.into()),
        text("script", |row| row.session.script.as_ref().or(row.header.map(|header| &header.script)).into()),
        text("campaign", |row| row.header.map(|header| &header.campaign).into()),
        real("started_unix_s", |row| row.session.started_unix_s.into()),
        text("host", |row| (&row.session.host).into()),
        integer("pid", |row| row.session.pid.into()),
        text("scheduler", |row| row.session.job.as_ref().map(|job| &job.scheduler).into()),
        text("job", |row| row.session.job.as_ref().map(|job| &job.id).into()),
        text("version", |row| (&row.session.version).into()),
        text("script_hash", |row| row.session.script_hash.into()),
        text("seed", |row| row.header.map(|header| header.seed.to_string()).into()),
    ]
}

/// Surroundings.
pub(super) fn envs<'a>() -> Vec<Column<&'a Env>> {
    vec![
        text("id", |env| env.id.into()),
        text("host", |env| env.host.as_ref().into()),
        text("cpu_model", |env| env.cpu_model.as_ref().into()),
        text("microcode", |env| env.microcode.as_ref().into()),
        integer("sockets", |env| env.sockets.into()),
        integer("cores", |env| env.cores.into()),
        text("kernel", |env| env.kernel.as_ref().into()),
        text("cmdline", |env| env.cmdline.as_ref().into()),
        text("libc", |env| env.libc.as_ref().into()),
        text("governor", |env| env.governor.as_ref().into()),
        integer("boost", |env| env.boost.into()),
        integer("smt", |env| env.smt.into()),
        integer("aslr", |env| env.aslr.into()),
        integer("swap_used_bytes", |env| env.swap_used_bytes.into()),
        text("thp", |env| env.thp.as_ref().into()),
        integer("numa_balancing", |env| env.numa_balancing.into()),
        real("load1", |env| env.load1.into()),
        text("cgroup_cpu_max", |env| env.cgroup_cpu_max.as_ref().into()),
        json("modules", |env| env.modules.as_ref().map(Cell::json).into()),
        json("slurm", |env| env.slurm.as_ref().map(Cell::json).into()),
        json("gpu", |env| env.gpu.as_ref().map(Cell::json).into()),
        text("mpi", |env| env.mpi.as_ref().into()),
    ]
}

/// Built files, by one of the builds that made them.
pub(super) fn artefacts<'a>() -> Vec<Column<&'a CompileResult>> {
    vec![
        text("hash", |build| build.artefact.into()),
        integer("bytes", |build| build.artefact_bytes.into()),
        text("text_hash", |build| build.text_hash.into()),
        text("compiler", |build| (&build.compiler).into()),
    ]
}
