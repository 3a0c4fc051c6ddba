//! What was asked for, as a record keeps it so that it can be asked for again (`harness rerun`).
//!
//! Only what the other fields of the record do not say: arguments as they were given (a build by its content, where the
//! record's `argv` has a path of that node), the protocol, the checks, the place. Long texts and
//! functions are left out, and it says so. Looked into by hardly anybody, so a journal is read without taking it apart. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::human::bytes;
use super::{Arg, CommandSpec, CompileSpec, Cwd, Function, MeasureSpec, Measurement, Placement, Stdin};

/// A text that a program reads, or is compared with, is kept up to here (B).
const KEPT_BYTES: usize = 4 << 10;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Of a measurement; `env`, `cwd` and `inputs` of its command are fields of the record.
    pub measure: Option<MeasureSpec>,
    /// Of a build.
    pub compile: Option<CompileSpec>,
    /// Where it was to run.
    pub placement: Placement,
    /// Set for all tasks of its pool.
    pub pool_env: BTreeMap<String, String>,
    /// GPUs of a node of its pool, where the script said so.
    pub pool_gpus: Option<u32>,
    /// Slots of each worker of its pool, likewise.
    pub pool_slots: Option<u32>,
    /// What is too long to be kept, or cannot be.
    pub left_out: Option<String>,
}

impl Asked {
    /// A measurement.
    pub fn to_measure(spec: &MeasureSpec, placement: &Placement) -> Self {
        let mut spec = spec.clone();
        spec.command =
            CommandSpec { env: BTreeMap::new(), cwd: Cwd::default(), inputs: Vec::new(), ..spec.command };
        let mut left_out = None;
        let mut keep = |what: &str, size: usize| {
            let fits = size <= KEPT_BYTES;
            if !fits {
                left_out = Some(format!("{what} ({})", bytes(size as u64)));
            }
            fits
        };
        if let Stdin::Bytes(text) = &spec.command.stdin
            && !keep("its standard input", text.len())
        {
            spec.command.stdin = Stdin::Null;
        }
        if spec.verify.stdout.as_ref().is_some_and(|text| !keep("the output it must have", text.len())) {
            spec.verify.stdout = None;
        }
        if let Some(Arg::Text(text)) = &spec.verify.reference
            && !keep("the output of its reference", text.len())
        {
            spec.verify.reference = None;
        }
        if spec.functions().next().is_some() {
            // Bytecode is of one build of harness.
            left_out = Some("functions that look at its runs".into());
            spec.functions_mut().for_each(|function| {
                *function = Function { place: function.place.clone(), ..Function::default() }
            });
        }
        Self { measure: Some(spec), placement: placement.clone(), left_out, ..Self::default() }
    }

    /// A build.
    pub fn to_compile(spec: &CompileSpec, placement: &Placement) -> Self {
        Self { compile: Some(spec.clone()), placement: placement.clone(), ..Self::default() }
    }

    /// The measurement of this record, whole again; none if something of it was left out.
    pub fn measure(&self, record: &Measurement) -> Option<MeasureSpec> {
        let mut spec = self.measure.clone().filter(|_| self.left_out.is_none())?;
        spec.command.env.clone_from(&record.env_delta);
        spec.command.cwd.clone_from(&record.cwd);
        spec.command.inputs.clone_from(&record.inputs);
        Some(spec)
    }

    /// As it stands in a record: what is not there needs no name.
    pub fn written(&self) -> Option<Unread> {
        let mut value = serde_json::to_value(self).ok()?;
        leave_out_nothings(&mut value);
        serde_json::value::to_raw_value(&value).ok().map(Unread)
    }
}

/// JSON that nobody has looked into.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unread(Box<RawValue>);

impl Unread {
    /// What it says.
    pub fn read(&self) -> serde_json::Result<Asked> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for Unread {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// Drops fields that are null or empty, inside out.
fn leave_out_nothings(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(leave_out_nothings);
            fields.retain(|_, field| match field {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_nothings),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Hash, HookSpec, Hooks, Input, LaunchSpec, MetricSpec, Outcome, Status, TaskFacts, VerifySpec,
    };

    fn record(spec: &MeasureSpec) -> Measurement {
        Measurement::from(TaskFacts::default(), spec, &Outcome::failed(Status::Ok, ""))
    }

    fn full() -> MeasureSpec {
        MeasureSpec {
            command: CommandSpec {
                argv: vec![Arg::Artefact(Hash::of(b"a")), Arg::Text(vec![0xff]), Arg::Text(vec![])],
                env: [("A".to_owned(), "1".to_owned())].into(),
                cwd: Cwd::Scratch,
                stdin: Stdin::Bytes(b"in".to_vec()),
                inputs: vec![Input { path: "x".into(), hash: Hash::of(b"x"), executable: false }],
                launch: Some(LaunchSpec::default()),
                ..CommandSpec::default()
            },
            runs: Some(7),
            metrics: [("m".to_owned(), MetricSpec::default())].into(),
            verify: VerifySpec {
                reference: Some(Arg::Text(b"1\n".to_vec())),
                rtol: 1e-9,
                stdout: Some(b"".to_vec().into()),
                ..VerifySpec::default()
            },
            hooks: Hooks {
                prepare: Some(HookSpec { argv: vec![], shell: Some("sync".into()) }),
                ..Hooks::default()
            },
            ..MeasureSpec::default()
        }
    }

    #[test]
    fn a_measurement_comes_back_as_it_was_asked_for() {
        for spec in [full(), MeasureSpec::default()] {
            let placement = Placement { smt: Some(false), cores: Some(2), ..Placement::default() };
            let asked = Asked::to_measure(&spec, &placement);
            let read = asked.written().unwrap().read().unwrap();
            assert_eq!(read, asked);
            assert_eq!(read.measure(&record(&spec)), Some(spec));
            assert_eq!(read.placement, placement);
        }
    }

    #[test]
    fn what_the_record_says_elsewhere_and_what_is_not_there_takes_no_room() {
        let text = Asked::to_measure(&full(), &Placement::default()).written().unwrap();
        for absent in ["null", "[]", "{}", "\"cwd\":\"scratch\"", "\"env\"", "\"inputs\""] {
            assert!(!text.0.get().contains(absent), "{absent}: {}", text.0);
        }
    }

    #[test]
    fn what_is_too_long_is_left_out_and_named() {
        let long = vec![b'x'; KEPT_BYTES + 1];
        let mut spec = full();
        spec.verify.reference = Some(Arg::Text(long));
        let asked = Asked::to_measure(&spec, &Placement::default());
        assert_eq!(asked.left_out.as_deref(), Some("the output of its reference (4 KiB)"));
        assert_eq!(asked.measure(&record(&spec)), None);
    }

    #[test]
    fn functions_are_left_out_but_for_where_they_stand() {
        let mut spec = full();
        let function = Function { payload: vec![1; 99], place: "c.lua:3".into(), ..Function::default() };
        spec.verify.function = Some(function);
        let asked = Asked::to_measure(&spec, &Placement::default());
        assert_eq!(asked.left_out.as_deref(), Some("functions that look at its runs"));
        let there = Function { place: "c.lua:3".into(), ..Function::default() };
        assert_eq!(asked.measure.unwrap().verify.function, Some(there));
    }
}
