//! A function of the script that looks at a run: what it is shown, and what it says about it.
//!
//! Knows how to call it and what Lua values mean; nothing of what follows from them.

use mlua::{IntoLua, Table, Value};

use super::TaskState;
use crate::model::human::{self, bounded};
use crate::model::{Found, Function, Phase, Seen, Sought};
use crate::script::raw::{Called, Fields, ShipError, Wanted};
use crate::script::results;

/// What a program wrote.
pub struct Wrote {
    /// To standard output.
    pub stdout: Vec<u8>,
    /// To standard error.
    pub stderr: Vec<u8>,
}

impl TaskState {
    /// Has a function look at a run. It may take so long (s).
    pub fn inspect(
        &mut self,
        (sought, function): (Sought, &Function),
        seen: &Seen,
        wrote: &Wrote,
        limit_s: f64,
    ) -> Found {
        match self.look(function, seen, wrote) {
            Ok(Called::Returned { values, .. }) => self.said(sought, &values.bytes).unwrap_or_else(lost),
            Ok(Called::Raised { message, .. }) => Found::Raised(bounded(message)),
            Ok(Called::Stopped { at, .. }) => {
                let at = if at.is_empty() { at } else { format!("; it was at {at}") };
                Found::Lost(format!("did not end within {}{at}", human::duration(limit_s)))
            }
            Ok(Called::OutOfMemory) => {
                Found::Lost(format!("could not go on: {}", self.out_of_memory().message))
            }
            // Only what it returned is packed here.
            Err(ShipError::CannotShip(_)) => Found::Other("something that cannot travel".into()),
            Err(error) => lost(error),
        }
    }

    fn look(&mut self, function: &Function, seen: &Seen, wrote: &Wrote) -> Result<Called, ShipError> {
        for (hash, bytes) in &function.codes {
            self.learn(*hash, bytes.to_vec())?;
        }
        let run = self.run_table(function, seen, wrote).map_err(|error| ShipError::Lua(error.to_string()))?;
        self.shipper.call(
            &self.lua,
            &self.around,
            (self.seed as i64, 0),
            &function.payload,
            (Value::Nil, Value::Table(run), Wanted::Values),
        )
    }

    /// What the function is given; it says so where a field is misspelt.
    fn run_table(&self, function: &Function, seen: &Seen, wrote: &Wrote) -> mlua::Result<Table> {
        let mut run = Fields::default();
        run.set("stdout", &wrote.stdout[..]);
        run.set("stderr", &wrote.stderr[..]);
        run.set("stdout_bytes", seen.stdout_bytes);
        run.set("stderr_bytes", seen.stderr_bytes);
        run.set("exit_code", seen.exit_code);
        run.set("phase", if seen.phase == Phase::Warmup { "warmup" } else { "sample" });
        run.set("dir", seen.dir.as_str());
        results::known_figures(&seen.usage, seen.launched).for_each(|(name, value)| run.set(name, value));
        let mut metrics = Fields::default();
        seen.metrics.iter().for_each(|(name, value)| metrics.set(name.as_str(), *value));
        run.set("metrics", metrics);
        if let Some(params) = function.params.as_deref().and_then(|json| serde_json::from_str(json).ok()) {
            let params: serde_json::Value = params;
            run.set("params", crate::script::data::from_json(&self.lua, &params)?);
        }
        let figures = results::known_figures(&seen.usage, false).map(|(name, _)| name);
        let may_be_absent = figures.chain(["exit_code", "params"]).map(|name| (name, true));
        self.strict.call((run.table(&self.lua)?, "a run", self.lua.create_table_from(may_be_absent)?))
    }

    fn said(&mut self, sought: Sought, values: &[u8]) -> Result<Found, ShipError> {
        let mut values = self.shipper.decode(&self.lua, values, &mut super::no_result)?.into_iter();
        let first = values.next().unwrap_or(Value::Nil);
        Ok(match (sought, &first) {
            (Sought::Figure, Value::Integer(figure)) => Found::Figure(*figure as f64),
            (Sought::Figure, Value::Number(figure)) => Found::Figure(*figure),
            (Sought::Verdict, Value::Boolean(true)) => Found::Passed,
            (Sought::Verdict, Value::Boolean(false)) => match values.next().unwrap_or(Value::Nil) {
                Value::Nil => Found::Refused(None),
                Value::String(why) => Found::Refused(Some(bounded(why.to_string_lossy()))),
                other => Found::Refused(Some(self.shown(other)?)),
            },
            _ => Found::Other(self.shown(first)?),
        })
    }

    /// A value as people are shown it.
    fn shown(&self, value: impl IntoLua) -> Result<String, ShipError> {
        let shown = self.shown.call::<String>(value).map_err(|error| ShipError::Lua(error.to_string()))?;
        Ok(bounded(shown))
    }
}

fn lost(error: ShipError) -> Found {
    Found::Lost(format!("could not be called: {error}"))
}
