//! The only raw MPI calls: each returns its error instead of aborting.
//!
//! rsmpi's safe layer discards return codes and cannot pass an `MPI_Info`, so this goes to `mpi::ffi`
//! directly. Every communicator gets MPI_ERRORS_RETURN before it is used.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use bytes::Bytes;
use mpi::ffi;

/// One tag: a link is one stream.
const TAG: c_int = 7;

/// What an MPI call returned instead of success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {text}")]
pub struct MpiError {
    call: &'static str,
    text: String,
}

fn check(call: &'static str, code: c_int) -> Result<(), MpiError> {
    if code == ffi::MPI_SUCCESS as c_int { Ok(()) } else { Err(MpiError { call, text: error_text(code) }) }
}

fn error_text(code: c_int) -> String {
    let mut buffer = [0u8; 4096];
    let mut length = 0;
    // SAFETY: the buffer is larger than MPI_MAX_ERROR_STRING (at most 1024) of every MPI.
    unsafe { ffi::MPI_Error_string(code, buffer.as_mut_ptr().cast::<c_char>(), &mut length) };
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    let text = String::from_utf8_lossy(&buffer[..length]);
    // MPICH prints its whole stack, outermost call first; the last line says what is wrong.
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason given").to_string()
}

/// Initialises MPI for use by this thread alone.
pub fn init() -> Result<(), MpiError> {
    let mut provided = 0;
    // SAFETY: called once, before any other MPI call; null arguments are allowed since MPI-2. The RSMPI_*
    // statics are constants of the C shim.
    unsafe {
        check(
            "MPI_Init_thread",
            ffi::MPI_Init_thread(ptr::null_mut(), ptr::null_mut(), ffi::RSMPI_THREAD_FUNNELED, &mut provided),
        )?;
        for comm in [ffi::RSMPI_COMM_WORLD, ffi::RSMPI_COMM_SELF] {
            check("MPI_Comm_set_errhandler", ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN))?;
        }
    }
    Ok(())
}

/// From how many threads MPI may be called; only after [`init`].
pub fn thread_level() -> &'static str {
    let mut level = 0;
    // SAFETY: MPI is initialised; the constants are those of the C shim.
    unsafe {
        ffi::MPI_Query_thread(&mut level);
        let names = [
            (ffi::RSMPI_THREAD_SINGLE, "single"),
            (ffi::RSMPI_THREAD_FUNNELED, "funneled"),
            (ffi::RSMPI_THREAD_SERIALIZED, "serialized"),
        ];
        names.into_iter().find(|(known, _)| *known == level).map_or("multiple", |(_, name)| name)
    }
}

/// Leaves MPI; waits for the other processes of the job.
pub fn finalize() {
    // SAFETY: MPI was initialised on this thread and no request is used after this.
    unsafe { ffi::MPI_Finalize() };
}

/// What the library calls itself: `Open MPI v4.1.4, …`, `MPICH Version: 5.0.2`.
pub fn library_version() -> String {
    let text = library_description();
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All it says of itself; MPICH names its device and how it was configured.
pub fn library_description() -> String {
    // SAFETY: the buffer has the length the library asks for; the call is allowed before MPI_Init.
    unsafe {
        let mut buffer = vec![0u8; usize::try_from(ffi::RSMPI_MAX_LIBRARY_VERSION_STRING).unwrap_or(0) + 1];
        let mut length = 0;
        ffi::MPI_Get_library_version(buffer.as_mut_ptr().cast::<c_char>(), &mut length);
        buffer.truncate(usize::try_from(length).unwrap_or(0));
        String::from_utf8_lossy(&buffer).trim_end_matches('\0').to_string()
    }
}

/// The MPI whose headers this executable was built with.
pub fn built_for() -> &'static str {
    env!("HARNESS_MPI")
}

/// A communicator; a copy names the same one.
#[derive(Clone, Copy)]
pub struct Comm(ffi::MPI_Comm);

impl Comm {
    /// All processes started together with this one.
    pub fn world() -> Self {
        // SAFETY: a constant of the C shim.
        Self(unsafe { ffi::RSMPI_COMM_WORLD })
    }

    /// The process that spawned this one, if one did.
    pub fn parent() -> Option<Self> {
        // SAFETY: plain calls on communicators that exist.
        unsafe {
            let mut comm = ffi::RSMPI_COMM_NULL;
            ffi::MPI_Comm_get_parent(&mut comm);
            if comm == ffi::RSMPI_COMM_NULL {
                return None;
            }
            ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN);
            Some(Self(comm))
        }
    }

    /// This process's number in the communicator.
    pub fn rank(self) -> i32 {
        let mut rank = -1;
        // SAFETY: the communicator exists.
        unsafe { ffi::MPI_Comm_rank(self.0, &mut rank) };
        rank
    }

    /// How many processes the communicator has.
    pub fn size(self) -> i32 {
        let mut size = -1;
        // SAFETY: the communicator exists.
        unsafe { ffi::MPI_Comm_size(self.0, &mut size) };
        size
    }

    /// Starts one process of `program` and connects to it. Blocks until it has called MPI_Init. The
    /// caller has checked that `program` exists: some MPIs hang if it does not.
    pub fn spawn(program: &str, arguments: &[&str], info: &[(&str, &str)]) -> Result<Self, MpiError> {
        let text = |s: &str| {
            CString::new(s).map_err(|_| MpiError { call: "MPI_Comm_spawn", text: format!("{s:?} has a NUL") })
        };
        let program = text(program)?;
        let arguments = arguments.iter().map(|a| text(a)).collect::<Result<Vec<_>, _>>()?;
        let mut argv: Vec<*mut c_char> =
            arguments.iter().map(|a| a.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect();
        let pairs =
            info.iter().map(|(k, v)| Ok((text(k)?, text(v)?))).collect::<Result<Vec<_>, MpiError>>()?;
        // SAFETY: all strings outlive the calls, argv ends with a null, and MPI writes one error code.
        unsafe {
            let mut info = ffi::RSMPI_INFO_NULL;
            check("MPI_Info_create", ffi::MPI_Info_create(&mut info))?;
            let set = pairs.iter().try_for_each(|(key, value)| {
                check("MPI_Info_set", ffi::MPI_Info_set(info, key.as_ptr(), value.as_ptr()))
            });
            if let Err(error) = set {
                ffi::MPI_Info_free(&mut info);
                return Err(error);
            }
            let mut comm = ffi::RSMPI_COMM_NULL;
            let mut code: c_int = 0;
            let result = ffi::MPI_Comm_spawn(
                program.as_ptr(),
                argv.as_mut_ptr(),
                1,
                info,
                0,
                ffi::RSMPI_COMM_SELF,
                &mut comm,
                &mut code,
            );
            ffi::MPI_Info_free(&mut info);
            check("MPI_Comm_spawn", result)?;
            check("MPI_Comm_spawn", code)?;
            if comm == ffi::RSMPI_COMM_NULL {
                return Err(MpiError { call: "MPI_Comm_spawn", text: "no process was started".into() });
            }
            check("MPI_Comm_set_errhandler", ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN))?;
            Ok(Self(comm))
        }
    }

    /// Gives bytes to MPI for sending.
    pub fn send(self, rank: i32, bytes: Bytes) -> Result<Sending, MpiError> {
        // SAFETY: `UnderWay` keeps the bytes where they are until MPI has finished with them.
        unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            let count = c_int::try_from(bytes.len()).unwrap_or(c_int::MAX);
            let code = ffi::MPI_Isend(
                bytes.as_ptr().cast::<c_void>(),
                count,
                ffi::RSMPI_UINT8_T,
                rank,
                TAG,
                self.0,
                &mut request,
            );
            check("MPI_Isend", code)?;
            Ok(UnderWay { request, space: bytes })
        }
    }

    /// Begins to receive the next message of `rank` into `buffer`, whose content goes, if one has come. Nobody waits for the rest of
    /// a large one: the process that sends it may stop or die in the middle.
    pub fn receive(self, rank: i32, mut buffer: Vec<u8>) -> Result<Option<Receiving>, MpiError> {
        let mut found = 0;
        let mut status = MaybeUninit::<ffi::MPI_Status>::uninit();
        buffer.clear();
        // SAFETY: the message handle and status are used only after MPI has set them; `UnderWay` keeps the space, which has the
        // length MPI was told, where it is until MPI has finished with it.
        unsafe {
            let mut message = ffi::RSMPI_MESSAGE_NULL;
            let code = ffi::MPI_Improbe(rank, TAG, self.0, &mut found, &mut message, status.as_mut_ptr());
            check("MPI_Improbe", code)?;
            if found == 0 {
                return Ok(None);
            }
            let mut count = 0;
            check("MPI_Get_count", ffi::MPI_Get_count(status.as_ptr(), ffi::RSMPI_UINT8_T, &mut count))?;
            let length = usize::try_from(count).unwrap_or(0);
            buffer.reserve(length);
            let mut request = ffi::RSMPI_REQUEST_NULL;
            let code = ffi::MPI_Imrecv(
                buffer.as_mut_ptr().cast::<c_void>(),
                count,
                ffi::RSMPI_UINT8_T,
                &mut message,
                &mut request,
            );
            check("MPI_Imrecv", code)?;
            Ok(Some(Receiving { under_way: UnderWay { request, space: buffer }, length }))
        }
    }

    /// Ends a connection made by `spawn`; waits for the other side.
    pub fn disconnect(self) {
        let mut comm = self.0;
        // SAFETY: the communicator was made by spawn or for it, and is not used afterwards.
        unsafe { ffi::MPI_Comm_disconnect(&mut comm) };
    }
}

/// What MPI was asked for, and the memory that it uses for that.
pub struct UnderWay<S: Default> {
    request: ffi::MPI_Request,
    space: S,
}

/// Bytes MPI is sending.
pub type Sending = UnderWay<Bytes>;

impl<S: Default> UnderWay<S> {
    /// Has MPI finished with it?
    pub fn finished(&mut self) -> Result<bool, MpiError> {
        let mut flag = 0;
        // SAFETY: the request is this one's own; a finished one is null, for which MPI_Test says true.
        let code = unsafe { ffi::MPI_Test(&mut self.request, &mut flag, ffi::RSMPI_STATUS_IGNORE) };
        check("MPI_Test", code)?;
        Ok(flag != 0)
    }
}

impl Sending {
    /// How many bytes.
    pub fn size(&self) -> usize {
        self.space.len()
    }
}

impl<S: Default> Drop for UnderWay<S> {
    fn drop(&mut self) {
        // What never finished, for the other process died, still uses its memory: leave that to MPI.
        if !matches!(self.finished(), Ok(true)) {
            std::mem::forget(std::mem::take(&mut self.space));
        }
    }
}

/// A message MPI is receiving.
pub struct Receiving {
    /// Its space is empty for us until MPI has filled it.
    under_way: UnderWay<Vec<u8>>,
    length: usize,
}

impl Receiving {
    /// The message, or this again while not all of it has come.
    pub fn message(mut self) -> Result<Result<Vec<u8>, Self>, MpiError> {
        if !self.under_way.finished()? {
            return Ok(Err(self));
        }
        let mut message = std::mem::take(&mut self.under_way.space);
        // SAFETY: it is the space that `receive` made room in for so many, as nobody has taken it before, and MPI has written
        // them.
        unsafe { message.set_len(self.length) };
        Ok(Ok(message))
    }
}
