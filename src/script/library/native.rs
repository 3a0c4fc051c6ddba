//! Opens shared libraries and calls what is in them: the only place that jumps into somebody else's code.
//!
//! What a symbol takes is its author's word, which nothing here can check: a wrong declaration may do anything to
//! this process. That is why it is a slot, which holds nothing that cannot be made again. Knows nothing of Lua:
//! arguments come as words that hold the bytes of a C value at their beginning.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::time::{Duration, Instant};

use libffi::middle::{Cif, Type as Ffi};
use libffi::raw::ffi_call;

use super::signature::{Scalar, Signature, Type};

/// The bytes of a C value of at most eight, at the beginning.
pub type Word = u64;

type Code = unsafe extern "C" fn();

/// A library that stays loaded as long as the process: its threads and its state outlive any handle.
pub struct Library(std::mem::ManuallyDrop<libloading::Library>);

impl Library {
    /// Loads it and runs its initialisers.
    pub fn open(path: &str) -> Result<Self, String> {
        // SAFETY: its initialisers are the author's code, run in a process that is there for it.
        let library = unsafe { libloading::Library::new(path) };
        library.map(|library| Self(std::mem::ManuallyDrop::new(library))).map_err(|error| told(&error))
    }

    /// The function of this declaration.
    pub fn function(&self, signature: &Signature) -> Result<Callee, String> {
        // SAFETY: only its address is taken here; the library is never unloaded.
        let code = unsafe { self.0.get::<Code>(signature.name.as_bytes()) }.map_err(|error| told(&error))?;
        let arguments = signature.arguments.iter().map(|(of, _)| ffi(*of));
        Ok(Callee { code: *code, cif: Cif::new(arguments.collect::<Vec<_>>(), ffi(signature.result)) })
    }
}

/// What the loader says.
fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn ffi(of: Type) -> Ffi {
    match of {
        Type::Void => Ffi::void(),
        Type::Scalar(Scalar::Bool | Scalar::Uint(1)) => Ffi::u8(),
        Type::Scalar(Scalar::Int(1)) => Ffi::i8(),
        Type::Scalar(Scalar::Int(2)) => Ffi::i16(),
        Type::Scalar(Scalar::Int(4)) => Ffi::i32(),
        Type::Scalar(Scalar::Int(_)) => Ffi::i64(),
        Type::Scalar(Scalar::Uint(2)) => Ffi::u16(),
        Type::Scalar(Scalar::Uint(4)) => Ffi::u32(),
        Type::Scalar(Scalar::Uint(_)) => Ffi::u64(),
        Type::Scalar(Scalar::Float) => Ffi::f32(),
        Type::Scalar(Scalar::Double) => Ffi::f64(),
        Type::Text | Type::Buffer(_) | Type::Pointer => Ffi::pointer(),
    }
}

/// A function, and how it is called.
pub struct Callee {
    code: Code,
    cif: Cif,
}

impl Callee {
    /// Calls it. Integers come back as wide as a word.
    pub fn call(&self, arguments: &mut [Word]) -> Word {
        let mut pointers = pointers(arguments);
        self.jump(self.code, &mut pointers)
    }

    /// How long so many calls take, with nothing between them.
    pub fn run(&self, arguments: &mut [Word], calls: u64) -> Duration {
        self.repeat(self.code, arguments, calls)
    }

    /// How long they would take if the function did nothing.
    pub fn run_nothing(&self, arguments: &mut [Word], calls: u64) -> Duration {
        self.repeat(nothing, arguments, calls)
    }

    fn repeat(&self, code: Code, arguments: &mut [Word], calls: u64) -> Duration {
        let mut pointers = pointers(arguments);
        let start = Instant::now();
        for _ in 0..calls {
            self.jump(code, &mut pointers);
        }
        start.elapsed()
    }

    fn jump(&self, code: Code, arguments: &mut [*mut c_void]) -> Word {
        let mut result: Word = 0;
        // SAFETY: there is a value for each argument of the declaration, as large as it says, and a word is as large
        // as any result. That the function is what was declared is the author's word (see the module).
        unsafe {
            let result = (&raw mut result).cast();
            ffi_call(self.cif.as_raw_ptr(), Some(code), result, arguments.as_mut_ptr());
        }
        result
    }
}

fn pointers(arguments: &mut [Word]) -> Vec<*mut c_void> {
    arguments.iter_mut().map(|word| (&raw mut *word).cast()).collect()
}

/// Takes anything: who calls cleans up, in every C calling convention of a Linux.
extern "C" fn nothing() {}

/// The text at an address that a library gave.
pub fn text_at(address: Word) -> Option<Vec<u8>> {
    let start = address as usize as *const std::ffi::c_char;
    // SAFETY: the declaration says that there is text, which ends with a zero byte; it is copied at once.
    (!start.is_null()).then(|| unsafe { CStr::from_ptr(start) }.to_bytes().to_vec())
}
