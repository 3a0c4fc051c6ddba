//! The primitives of `harness.dl` in a slot: shared libraries, their functions and the memory they are lent.
//!
//! Turns Lua's values into C's and back, and says which call is under way, for the case that it ends the process.
//! What is called where is in `dl.lua`; jumping is in `native`. Each primitive gives its value, or nil and why.

mod memory;
mod native;
mod signature;

use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::rc::Rc;

use mlua::{
    AnyUserData, IntoLua, IntoLuaMulti, LightUserData, Lua, MultiValue, Table, UserData, Value, Variadic,
};

use memory::{Memory, Number};
use native::{Callee, Library, Word};
use signature::{Scalar, Signature, Type};

/// Told what a library does now; nothing when it has returned.
pub type Note = Box<dyn Fn(Option<&str>)>;

struct Opened {
    library: Library,
    /// The last part of its path.
    name: String,
}

struct Bound {
    signature: Signature,
    callee: Callee,
    /// For people: `dot of libx.so`.
    place: String,
}

struct Buffer(RefCell<Memory>);

impl UserData for Opened {}
impl UserData for Bound {}
impl UserData for Buffer {}

/// A value, or nil and why.
fn told<T: IntoLua>(lua: &Lua, value: Result<T, String>) -> mlua::Result<MultiValue> {
    match value {
        Ok(value) => value.into_lua_multi(lua),
        Err(why) => (Value::Nil, why).into_lua_multi(lua),
    }
}

/// Puts `host.library` in place.
pub fn register(lua: &Lua, host: &Table, note: Note) -> mlua::Result<()> {
    let library = lua.create_table()?;
    library.raw_set("open", lua.create_function(|lua, path: String| told(lua, open(&path)))?)?;
    library.raw_set(
        "bind",
        lua.create_function(|lua, (opened, declaration): (AnyUserData, String)| {
            told(lua, bind(&*opened.borrow::<Opened>()?, &declaration))
        })?,
    )?;
    let note = Rc::new(note);
    let noted = note.clone();
    library.raw_set(
        "call",
        lua.create_function(move |lua, (bound, given): (AnyUserData, Variadic<Value>)| {
            let bound = bound.borrow::<Bound>()?;
            match bound.words(&given) {
                Ok(mut arguments) => {
                    noted(Some(&bound.place));
                    let word = bound.callee.call(&mut arguments.words);
                    noted(None);
                    (true, returned(lua, bound.signature.result, word)?).into_lua_multi(lua)
                }
                Err(why) => (Value::Nil, why).into_lua_multi(lua),
            }
        })?,
    )?;
    library.raw_set(
        "run",
        lua.create_function(
            move |lua, (bound, calls, nothing, given): (AnyUserData, u64, bool, Variadic<Value>)| {
                let bound = bound.borrow::<Bound>()?;
                let took = bound.words(&given).map(|mut arguments| {
                    note(Some(&bound.place));
                    let took = match nothing {
                        true => bound.callee.run_nothing(&mut arguments.words, calls),
                        false => bound.callee.run(&mut arguments.words, calls),
                    };
                    note(None);
                    took.as_secs_f64()
                });
                told(lua, took)
            },
        )?,
    )?;
    library.raw_set("null", Value::LightUserData(LightUserData(std::ptr::null_mut())))?;
    memory_functions(lua, &library)?;
    host.raw_set("library", library)
}

fn memory_functions(lua: &Lua, library: &Table) -> mlua::Result<()> {
    library.raw_set(
        "memory",
        lua.create_function(|lua, (of, length): (String, usize)| {
            let memory = Scalar::named(&of).and_then(|scalar| {
                let memory = Memory::new(scalar, length);
                memory.ok_or_else(|| format!("there is no memory for {length} elements of {of}"))
            });
            told(lua, memory.map(|memory| Buffer(RefCell::new(memory))))
        })?,
    )?;
    // The library in Lua has checked that there is such an element.
    library.raw_set(
        "get",
        lua.create_function(|lua, (memory, at): (AnyUserData, usize)| {
            let number = memory.borrow::<Buffer>()?.0.borrow().get(at);
            into_lua(lua, number)
        })?,
    )?;
    library.raw_set(
        "set",
        lua.create_function(|lua, (memory, at, value): (AnyUserData, usize, Value)| {
            let memory = memory.borrow::<Buffer>()?;
            let mut memory = memory.0.borrow_mut();
            let set = number(&value).ok_or_else(|| "expected a number".to_owned());
            told(lua, set.and_then(|number| memory.set(at, number)).map(|()| true))
        })?,
    )?;
    library.raw_set(
        "all",
        lua.create_function(|lua, memory: AnyUserData| {
            let memory = memory.borrow::<Buffer>()?;
            let memory = memory.0.borrow();
            let numbers = (0..memory.len()).map(|at| into_lua(lua, memory.get(at)));
            lua.create_sequence_from(numbers.collect::<mlua::Result<Vec<Value>>>()?)
        })?,
    )?;
    library.raw_set(
        "fill",
        lua.create_function(|lua, (memory, value): (AnyUserData, Value)| {
            let memory = memory.borrow::<Buffer>()?;
            let mut memory = memory.0.borrow_mut();
            let set = number(&value).ok_or_else(|| "expected a number".to_owned());
            told(lua, set.and_then(|number| memory.fill(number)).map(|()| true))
        })?,
    )?;
    library.raw_set(
        "text",
        lua.create_function(|lua, memory: AnyUserData| {
            let memory = memory.borrow::<Buffer>()?;
            let memory = memory.0.borrow();
            let text = match memory.of().size() {
                1 => Ok(lua.create_string(memory.text())?),
                _ => Err("it is no buffer of char".to_owned()),
            };
            told(lua, text)
        })?,
    )
}

fn open(path: &str) -> Result<Opened, String> {
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Ok(Opened { library: Library::open(path)?, name })
}

fn bind(opened: &Opened, declaration: &str) -> Result<Bound, String> {
    let signature = Signature::parse(declaration)?;
    let callee = opened.library.function(&signature)?;
    let place = format!("{} of {}", signature.name, opened.name);
    Ok(Bound { signature, callee, place })
}

/// What is passed, and what keeps texts alive until the end of the call.
struct Arguments {
    words: Vec<Word>,
    _texts: Vec<CString>,
}

impl Bound {
    fn words(&self, given: &[Value]) -> Result<Arguments, String> {
        let wanted = &self.signature.arguments;
        let name = &self.signature.name;
        if given.len() != wanted.len() {
            let plural = if wanted.len() == 1 { "" } else { "s" };
            return Err(format!("{name}: expected {} argument{plural}, got {}", wanted.len(), given.len()));
        }
        let mut texts = Vec::new();
        let mut words = Vec::with_capacity(given.len());
        for (i, (value, (of, written))) in given.iter().zip(wanted).enumerate() {
            let word = word(*of, value, &mut texts);
            words.push(word.map_err(|why| {
                format!("{name}: argument {} ({written}): {why}, got {}", i + 1, shown(value))
            })?);
        }
        Ok(Arguments { words, _texts: texts })
    }
}

/// What was given instead, for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "nil (dl.null is C's NULL)".into(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Integer(whole) => whole.to_string(),
        Value::Number(any) => any.to_string(),
        Value::UserData(data) => match data.borrow::<Buffer>() {
            Ok(buffer) => format!("a buffer of {}", buffer.0.borrow().of()),
            Err(_) => "something else".into(),
        },
        Value::LightUserData(_) => "a pointer".into(),
        other => format!("a {}", other.type_name()),
    }
}

fn word(of: Type, value: &Value, texts: &mut Vec<CString>) -> Result<Word, String> {
    match (of, value) {
        (Type::Scalar(scalar), _) => match number(value) {
            Some(number) => memory::pack(scalar, number),
            None => Err("expected a number".into()),
        },
        (Type::Void, _) => Err("expected nothing".into()),
        (Type::Text, Value::String(text)) => {
            let text = CString::new(text.as_bytes().to_vec());
            let text = text.map_err(|_| "expected text without a zero byte".to_owned())?;
            let address = text.as_ptr() as usize as Word;
            texts.push(text);
            Ok(address)
        }
        (_, Value::LightUserData(LightUserData(pointer)))
            if matches!(of, Type::Pointer) || pointer.is_null() =>
        {
            Ok(*pointer as usize as Word)
        }
        (_, Value::UserData(data)) => {
            let expected = || match of {
                Type::Pointer => "expected a buffer, a pointer or dl.null".to_owned(),
                Type::Buffer(scalar) => format!("expected a buffer of {scalar}"),
                _ => "expected a string, or a buffer of int8".to_owned(),
            };
            let buffer = data.borrow::<Buffer>().map_err(|_| expected())?;
            let mut memory = buffer.0.borrow_mut();
            let fits = match of {
                Type::Buffer(scalar) => memory.of() == scalar,
                Type::Text => memory.of().size() == 1,
                _ => true,
            };
            if fits { Ok(memory.address()) } else { Err(expected()) }
        }
        (Type::Text, _) => Err("expected a string".into()),
        (Type::Buffer(Scalar::Int(1)), Value::String(_)) => Err(
            "expected a buffer, which the function may write into (of text that it only reads: const char *)"
                .into(),
        ),
        _ => Err("expected a buffer or dl.null".into()),
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Boolean(truth) => Some(Number::Bool(*truth)),
        Value::Integer(whole) => Some(Number::Int(*whole)),
        Value::Number(any) => Some(Number::Float(*any)),
        _ => None,
    }
}

fn into_lua(lua: &Lua, number: Number) -> mlua::Result<Value> {
    match number {
        Number::Bool(truth) => truth.into_lua(lua),
        Number::Int(whole) => whole.into_lua(lua),
        Number::Float(any) => any.into_lua(lua),
    }
}

/// What a function gave: NULL is nil.
fn returned(lua: &Lua, of: Type, word: Word) -> mlua::Result<Value> {
    match of {
        Type::Void => Ok(Value::Nil),
        Type::Scalar(scalar) => into_lua(lua, memory::returned(scalar, word)),
        Type::Text => native::text_at(word).map(|text| lua.create_string(text)).transpose()?.into_lua(lua),
        Type::Buffer(_) | Type::Pointer => Ok(match word as usize as *mut c_void {
            pointer if pointer.is_null() => Value::Nil,
            pointer => Value::LightUserData(LightUserData(pointer)),
        }),
    }
}
