//! Outcomes no keeper would ever send, from a seed, so that a failing case can be had again.

use std::collections::BTreeMap;

use harness::model::{
    Better, CacheUse, CallError, CallReturn, CompileResult, Conditions, Detail, Energy, Hash, HookTimes,
    Interval, Kind, MeasureResult, Metric, Moving, Outcome, Phase, RunResult, SameAs, Sample, Status,
    StopReason, Summary, Usage, VerifyResult,
};

pub use crate::random::Random;

impl Random {
    pub fn outcome(&mut self) -> (Kind, Outcome) {
        let (kind, detail) = match self.below(6) {
            0 => (Kind::Call, Detail::Call(self.call())),
            1 => (Kind::Call, Detail::CallError(Box::new(self.call_error()))),
            2 => (Kind::Exec, Detail::Exec(Box::new(self.exec()))),
            3 => (Kind::Compile, Detail::Compile(Box::new(self.compile()))),
            4 => (Kind::Measure, Detail::None),
            _ => (Kind::Measure, Detail::Measure(Box::new(self.measure()))),
        };
        let outcome = Outcome {
            status: if self.below(2) == 0 { Status::Ok } else { Status::Timeout },
            reason: self.maybe(Self::text),
            host: self.text().into(),
            detail,
            elapsed_s: self.number(),
            conditions: self
                .maybe(Self::moving)
                .map(|moving| Conditions { moving, placed: None })
                .and_then(Conditions::told),
        };
        (kind, outcome)
    }

    fn moving(&mut self) -> Moving {
        Moving {
            freq_hz: self.maybe(|r| [r.number(), r.number()]),
            throttle_count: self.maybe(Self::bits),
            psi_io_some_s: self.maybe(Self::number),
            ..Moving::default()
        }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    /// Any finite number, not only the tame ones.
    fn number(&mut self) -> f64 {
        loop {
            let number = f64::from_bits(self.bits());
            if number.is_finite() {
                return number;
            }
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(40)).map(|_| self.bits() as u8).collect()
    }

    fn hash(&mut self) -> Hash {
        Hash::of(&self.bytes())
    }

    fn text(&mut self) -> String {
        let odd = ['a', '"', '\\', '\n', '\0', 'ü', '\u{1f600}', '\u{2028}', '{'];
        (0..self.below(12)).map(|_| odd[self.below(9) as usize]).collect()
    }

    fn call(&mut self) -> CallReturn {
        CallReturn {
            values: self.bytes().into(),
            codes: vec![(self.hash(), self.bytes().into())],
            text: self.maybe(|r| r.bytes().into()),
            text_at: self.maybe(|r| (r.below(9) as usize, r.below(9) as usize)),
        }
    }

    fn call_error(&mut self) -> CallError {
        CallError {
            message: self.text(),
            traceback: self.text(),
            value: self.maybe(Self::call),
            place: self.maybe(|r| r.below(9) as u32),
        }
    }

    fn exec(&mut self) -> RunResult {
        RunResult {
            exit_code: self.maybe(|r| r.bits() as i32),
            stdout: self.bytes(),
            stderr: self.text().into_bytes(),
            stdout_bytes: self.bits(),
            usage: self.usage(),
            outputs: [(self.text(), self.hash())].into(),
            argv: vec![self.text()],
            ..RunResult::default()
        }
    }

    fn compile(&mut self) -> CompileResult {
        CompileResult {
            artefact: self.maybe(Self::hash),
            text_hash: self.maybe(Self::hash),
            diagnostics: self.text(),
            cache: CacheUse::Negative,
            wall_s: self.number(),
            content_key: self.maybe(Self::hash),
            ..CompileResult::default()
        }
    }

    fn usage(&mut self) -> Usage {
        Usage {
            wall_s: self.number(),
            user_s: self.number(),
            sys_s: self.number(),
            maxrss_bytes: self.bits(),
            minflt: self.bits(),
            majflt: self.bits(),
            nvcsw: self.bits(),
            nivcsw: self.bits(),
            inblock: self.bits(),
            oublock: self.bits(),
        }
    }

    fn summary(&mut self) -> Summary {
        let interval =
            |r: &mut Self| Interval { lo: r.number(), hi: r.number(), level: 0.95, exact_level: r.number() };
        Summary {
            n: self.bits() as u32,
            median: self.number(),
            mad: self.number(),
            ci: self.maybe(interval),
            ..Summary::default()
        }
    }

    fn sample(&mut self) -> Sample {
        Sample {
            phase: if self.below(3) == 0 { Phase::Warmup } else { Phase::Sample },
            t_start_s: self.number(),
            usage: self.usage(),
            metrics: [(self.text(), self.number()), ("a".to_owned(), self.number())].into(),
            output_hash: self.maybe(Self::hash),
            energy: Energy { pkg_j: self.maybe(Self::number), dram_j: None },
        }
    }

    fn measure(&mut self) -> MeasureResult {
        let samples: Vec<Sample> = (0..self.below(9)).map(|_| self.sample()).collect();
        // All that the runs printed; a figure that was asked for has more than that.
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        for sample in &samples {
            for (name, value) in &sample.metrics {
                let empty = Metric { unit: None, better: Better::Less, value: Vec::new(), stats: None };
                let metric = metrics.entry(name.clone()).or_insert(empty);
                metric.value.extend((sample.phase == Phase::Sample).then_some(*value));
            }
        }
        if let Some(metric) = metrics.get_mut("a") {
            (metric.unit, metric.better) = (Some(self.text()), Better::More);
            metric.stats = self.maybe(Self::summary);
        }
        MeasureResult {
            samples,
            stats: self.maybe(Self::summary),
            metrics,
            objective: self.text(),
            better: Better::Less,
            stop_reason: StopReason::Precise,
            flags: vec![self.text()],
            counters: None,
            verify: VerifyResult {
                status: self.text(),
                method: self.text(),
                max_abs_err: self.maybe(Self::number),
            },
            floor_s: self.maybe(Self::number),
            maxrss_floor_bytes: self.maybe(Self::bits),
            exit_code: self.maybe(|r| r.bits() as i32),
            signal: self.maybe(|r| r.bits() as i32),
            stderr_tail: self.text(),
            argv: vec![self.text(), self.text()],
            launched: None,
            same_as: self.maybe(|r| SameAs { id: r.text(), what: r.text() }),
            hooks: self.maybe(|r| HookTimes { prepare_s: vec![r.number()], ..HookTimes::default() }),
        }
    }
}
