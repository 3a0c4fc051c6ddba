//! How many tasks an order stands for.

use super::*;
use crate::model::{CallReturns, Detail, batch};

#[test]
fn calls_that_travel_together_are_counted_one_by_one() {
    let job = |many| {
        let baggage = Baggage { many, ..Baggage::default() };
        Job::Call(CallJob { payload: Default::default(), class: 0, baggage: baggage.into() })
    };
    let (one, eight) = (job(None), job(Some(Many { calls: 8, first: None })));
    let mut values = Vec::new();
    (0..5).for_each(|_| batch::put(&mut values, b"value"));
    let returned = Detail::Calls(CallReturns { values: values.into(), codes: Vec::new() });
    let returned = Outcome { detail: returned, ..Outcome::failed(Status::Ok, String::new()) };
    let outcomes = [
        returned,
        Outcome::failed(Status::Error, "no luck"),
        Outcome::failed(Status::Cancelled, "not wanted"),
        Outcome::failed(Status::LostWorker, "its node is gone"),
    ];
    let ended = |job: &Job| outcomes.each_ref().map(|outcome| job.ended(outcome));
    assert_eq!((eight.count(), ended(&eight)), (8, [5, 1, 8, 8]));
    assert_eq!((one.count(), ended(&one)[1..].to_vec()), (1, vec![1, 1, 1]));
}
