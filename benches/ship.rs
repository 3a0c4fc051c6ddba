//! What shipping costs: a closure of two upvalues encoded and decoded, and no-op calls through a slot.
//!
//! `cargo bench --no-default-features --bench ship`

#![allow(unsafe_code)] // from stack to stack

use std::hint::black_box;
use std::time::Instant;

use harness::model::{Attempt, CallTask, FromSlot, SlotId, SlotInit, TaskId, ToSlot, WorkerId};
use harness::process::Gate;
use harness::script::raw::{Shipped, Shipper, new_state};
use harness::wire::{Stream, socket_pair};
use mlua::{Lua, MultiValue};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let (lua, there) = (new_state(), new_state());
    let (mut sender, mut receiver) = (Shipper::new(&lua)?, Shipper::new(&there)?);
    let closure: MultiValue = lua
        .load("local a, b = 2, 'text' return function(x) return x * a, b end")
        .set_name("@c.lua")
        .eval()?;
    let shipped = sender.encode(&lua, closure.clone())?;
    for hash in &shipped.codes {
        receiver.learn(*hash, sender.bytecode(*hash).ok_or("no code")?.to_vec())?;
    }
    // `count closures N`: so many there and back, for benches/counts.
    if let [_, _, _, n] = &std::env::args().collect::<Vec<_>>()[..] {
        return on_the_stack(n.parse()?, &lua, &mut sender, (&there, &mut receiver), closure, &shipped);
    }
    println!("closure with 2 upvalues: {} bytes", shipped.bytes.len());
    on_the_stack(1_000_000, &lua, &mut sender, (&there, &mut receiver), closure.clone(), &shipped)?;
    each("encode, from Rust", 1_000_000, || Ok(sender.encode(&lua, closure.clone())?))?;
    each("decode and instantiate, to Rust", 1_000_000, || {
        let none = &mut |_| Err(String::new());
        Ok(receiver.decode(&there, &shipped.bytes, none)?)
    })?;
    let make: mlua::Function = lua
        .load("local i = 0 return function() i = i + 1 local a = i return function() return a end end")
        .eval()?;
    each("encode, a new closure each time", 200_000, || {
        let closure: MultiValue = make.call(())?;
        Ok(sender.encode(&lua, closure)?)
    })?;
    let floats: MultiValue = lua.load("local t = {} for i = 1, 1e6 do t[i] = i / 3 end return t").eval()?;
    each("encode 10^6 floats", 20, || Ok(sender.encode(&lua, floats.clone())?))?;
    let packed = sender.encode(&lua, floats)?;
    each("decode 10^6 floats", 20, || {
        Ok(receiver.decode(&there, &packed.bytes, &mut |_| Err(String::new()))?)
    })?;
    let noop = lua.load("return function() end, 1").set_name("@c.lua").eval()?;
    slot(&sender.encode(&lua, noop)?, &sender)
}

/// As the script's `submit` and the slot's calls do it: from one Lua stack to the other, nothing in between.
fn on_the_stack(
    times: u32,
    lua: &Lua,
    sender: &mut Shipper,
    (there, receiver): (&Lua, &mut Shipper),
    closure: MultiValue,
    shipped: &Shipped,
) -> Result<(), Error> {
    let (mut encode, mut decode) = (0.0, 0.0);
    // SAFETY: each shipper works on its own state, and neither raises.
    unsafe {
        lua.exec_raw::<()>(closure, |state| {
            let start = Instant::now();
            for _ in 0..times {
                let _ = black_box(sender.encode_stack(state, 1));
            }
            encode = start.elapsed().as_secs_f64();
            mlua::ffi::lua_settop(state, 0);
        })?;
        there.exec_raw::<()>((), |state| {
            let start = Instant::now();
            for _ in 0..times {
                let _ = black_box(receiver.decode_stack(state, &shipped.bytes, 0));
                mlua::ffi::lua_settop(state, 0);
            }
            decode = start.elapsed().as_secs_f64();
        })?;
    }
    for (what, seconds) in [("encode", encode), ("decode and instantiate", decode)] {
        println!("{what}: {:.0} ns", seconds * 1e9 / f64::from(times));
    }
    Ok(())
}

fn each<T>(what: &str, times: u32, mut work: impl FnMut() -> Result<T, Error>) -> Result<(), Error> {
    let mut run = |_| work().map(|made| drop(black_box(made)));
    (0..times / 10).try_for_each(&mut run)?;
    let start = Instant::now();
    (0..times).try_for_each(&mut run)?;
    println!("{what}: {:.0} ns", start.elapsed().as_secs_f64() * 1e9 / f64::from(times));
    Ok(())
}

fn slot(shipped: &Shipped, sender: &Shipper) -> Result<(), Error> {
    const CALLS: u64 = 640_000;
    let (mine, its) = socket_pair()?;
    let (_gate, gate) = Gate::create()?;
    let slot = std::thread::spawn(move || harness::slot::serve(its, gate));
    let mut stream = Stream::new(mine)?;
    stream.queue(&ToSlot::Init(Box::new(SlotInit {
        worker: WorkerId(1),
        slot: SlotId(0),
        host: "node".into(),
        campaign_dir: String::new(),
        store_dir: String::new(),
        seed: 1,
        setup: Default::default(),
        node_memory: 1 << 30,
    })));
    for hash in &shipped.codes {
        stream.queue(&ToSlot::Code(*hash, sender.bytecode(*hash).ok_or("no code")?.to_vec()));
    }
    for batch in [1, 64] {
        let (mut sent, mut done) = (0, 0);
        let calls = if batch == 1 { CALLS / 10 } else { CALLS };
        let start = Instant::now();
        while done < calls {
            while sent < calls && sent < done + 2 * batch {
                for _ in 0..batch {
                    let payload = shipped.bytes.clone();
                    let (task, attempt) = (TaskId(sent), Attempt(0));
                    stream.queue(&ToSlot::Call(CallTask {
                        task,
                        attempt,
                        seed: 0,
                        timeout: None,
                        fresh: false,
                        gpus: None,
                        gang: None,
                        many: false,
                        payload,
                        deps: Vec::new(),
                    }));
                    sent += 1;
                }
            }
            stream.flush()?;
            rustix::event::poll(
                &mut [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::IN)],
                None,
            )?;
            stream.fill()?;
            while let Some(message) = stream.take()? {
                let FromSlot::Done(_, _, outcome) = message else { continue };
                if !outcome.ok() {
                    return Err(format!("{outcome:?}").into());
                }
                done += 1;
            }
        }
        println!(
            "calls through a slot, batches of {batch}: {:.0}/s",
            calls as f64 / start.elapsed().as_secs_f64()
        );
    }
    drop(stream);
    slot.join().map_err(|_| "the slot panicked")??;
    Ok(())
}
