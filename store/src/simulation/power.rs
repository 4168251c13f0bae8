//! Turmoil's file system, with a hand on the power switch: it crashes and fails when the seed says so.
//!
//! Only operations that change something are counted, faulted and told to the [`Tape`]: how often tables are read
//! differs from run to run (the Delta log is read ahead on a thread of its own), what is changed does not.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use turmoil::fs::FsHandle;
use turmoil::fs::shim::std::fs;

use super::dice::Dice;
use super::tape::Tape;

/// Bytes the disk holds.
pub(super) const CAPACITY: u64 = 24 << 20;
/// Bytes that are written or torn as one.
pub(super) const BLOCK: u64 = 64;

/// One machine's disk. What was synced outlives a power failure, what was written outlives a killed process.
#[derive(Clone)]
pub(super) struct SimDisk(Arc<Inner>);

struct Inner {
    /// Turmoil's disk, as seen from the life that goes on.
    fs: Mutex<Option<Arc<FsHandle>>>,
    circuit: Mutex<Circuit>,
    database: String,
    /// Says that it has synced the log, and has not.
    lies: bool,
    /// Keeps the database in memory alive from life to life, and others out of it while the power is off.
    keeper: Mutex<Connection>,
}

/// What the faults are decided by.
struct Circuit {
    dice: Dice,
    tape: Tape,
    operations: u64,
    off: bool,
    off_at: Option<u64>,
    error_at: Option<u64>,
    /// Nothing goes wrong, and nothing is recorded: somebody only looks.
    calm: bool,
}

/// What becomes of one operation.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Done,
    /// It is done, or half of it, and then an error comes back.
    DoneAndFailed,
    Failed,
}

impl SimDisk {
    pub(super) fn new(seed: u64, lies: bool) -> Self {
        let database = format!(
            "file:simulation-{seed}-{}?mode=memory&cache=shared",
            uuid::Uuid::new_v4()
        );
        let keeper = Mutex::new(open_database(&database).unwrap());
        Self(Arc::new(Inner {
            fs: Mutex::new(None),
            circuit: Mutex::new(Circuit {
                dice: Dice::new(seed ^ 0xd15c),
                tape: Tape::default(),
                operations: 0,
                off: true,
                off_at: None,
                error_at: None,
                calm: true,
            }),
            database,
            lies,
            keeper,
        }))
    }

    /// A new life begins, in which nothing goes wrong until [`SimDisk::plan`].
    pub(super) fn power_on(&self, fs: FsHandle) {
        *self.0.fs.lock() = Some(Arc::new(fs));
        let mut circuit = self.0.circuit.lock();
        if std::mem::replace(&mut circuit.off, false) {
            let _ = self.0.keeper.lock().execute_batch("ROLLBACK");
        }
        (circuit.off_at, circuit.error_at) = (None, None);
    }

    /// The power goes at this operation from now, an error comes back from that one.
    pub(super) fn plan(&self, off_in: u64, error_in: Option<u64>) {
        let mut circuit = self.0.circuit.lock();
        circuit.off_at = Some(circuit.operations + off_in);
        circuit.error_at = error_in.map(|error_in| circuit.operations + error_in);
    }

    /// The power goes now.
    pub(super) fn power_off(&self) {
        let mut circuit = self.0.circuit.lock();
        self.cut(&mut circuit);
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.circuit.lock().off
    }

    /// Whether an error has come back in this life.
    pub(super) fn has_failed(&self) -> bool {
        let circuit = self.0.circuit.lock();
        circuit.error_at.is_some_and(|at| at <= circuit.operations)
    }

    pub(super) fn set_calm(&self, calm: bool) {
        self.0.circuit.lock().calm = calm;
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.circuit.lock().operations
    }

    pub(super) fn hash(&self) -> u64 {
        self.0.circuit.lock().tape.hash()
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.0.circuit.lock().tape.last()
    }

    /// Notes something that is no operation of the disk.
    pub(super) fn note(&self, what: &str) {
        self.0.circuit.lock().tape.note(what);
    }

    /// Fills the disk but for a few bytes, so that a write of less than a block may still find room.
    pub(super) fn fill(&self) {
        let left = self.0.circuit.lock().dice.roll(BLOCK);
        self.note(&format!("the disk is full but for {left} bytes"));
        self.on(|| {
            fs::write("/left", vec![0; left as usize])?;
            let mut ballast = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open("/ballast")?;
            let mut size = CAPACITY as usize;
            while size > 0 {
                if ballast.write_all(&vec![0; size]).is_err() {
                    size /= 2;
                }
            }
            ballast.sync_all()?;
            fs::remove_file("/left")?;
            fs::sync_dir("/")
        })
        .unwrap();
    }

    /// Makes room again.
    pub(super) fn clear(&self) {
        self.note("there is room again");
        let _ = self.on(|| {
            fs::remove_file("/ballast")?;
            fs::sync_dir("/")
        });
    }

    /// Entries of a folder, by name: whether each is a folder, and its bytes.
    pub(super) fn entries(&self, folder: &Path) -> Result<Vec<(String, bool, u64)>> {
        self.look()?;
        self.on(|| {
            let mut entries = Vec::new();
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let (name, metadata) = (entry.file_name(), entry.metadata()?);
                let name = name.into_string().unwrap();
                entries.push((name, metadata.is_dir(), metadata.len()));
            }
            entries.sort();
            Ok(entries)
        })
    }

    /// All a file holds.
    pub(super) fn contents(&self, path: &Path) -> Result<Vec<u8>> {
        self.look()?;
        self.on(|| fs::read(path))
    }

    /// A connection to the database.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        open_database(&self.0.database)
    }

    /// Whether it says that it has synced the log, and has not.
    pub(super) fn lies(&self) -> bool {
        self.0.lies
    }

    /// Reading fails only without power.
    pub(super) fn look(&self) -> Result<()> {
        if self.is_off() {
            return Err(power());
        }
        Ok(())
    }

    /// Turmoil's file system belongs to the thread of its world; through the handle any thread gets to it.
    pub(super) fn on<T>(&self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let fs = self.0.fs.lock().clone().unwrap();
        let _inside = fs.enter();
        operation().map_err(named)
    }

    fn cut(&self, circuit: &mut Circuit) {
        if !std::mem::replace(&mut circuit.off, true) {
            self.0
                .keeper
                .lock()
                .execute_batch("BEGIN IMMEDIATE")
                .unwrap();
        }
    }

    /// One operation that changes something.
    pub(super) fn change<T>(
        &self,
        what: &str,
        path: &Path,
        bytes: usize,
        operation: impl FnOnce() -> Result<T>,
        half: impl FnOnce(&mut Dice),
    ) -> Result<T> {
        let mut circuit = self.0.circuit.lock();
        if circuit.calm {
            drop(circuit);
            return self.on(operation);
        }
        if circuit.off {
            return Err(power());
        }
        circuit.operations += 1;
        let now = circuit.operations;
        let off = circuit.off_at == Some(now);
        let fate = match off || circuit.error_at == Some(now) {
            false => Fate::Done,
            true if circuit.dice.roll(2) == 0 => Fate::DoneAndFailed,
            true => Fate::Failed,
        };
        let mut dice = circuit.dice.split();
        drop(circuit);
        let done = match fate {
            Fate::Done => self.on(operation),
            Fate::DoneAndFailed => self.on(operation).and_then(|_| Err(broken())),
            Fate::Failed => {
                let _ = self.on(|| {
                    half(&mut dice);
                    Ok(())
                });
                Err(broken())
            }
        };
        let mut circuit = self.0.circuit.lock();
        let outcome = done
            .as_ref()
            .map_or_else(|error| error.kind().to_string(), |_| "done".into());
        circuit.tape.operation(what, path, bytes, &outcome);
        if off {
            self.cut(&mut circuit);
            return Err(power());
        }
        drop(circuit);
        // The operating system writes when it likes: it may have synced what nobody asked it to.
        if dice.roll(8) == 0 {
            let _ = self.on(|| match path.parent() {
                Some(folder) if what != "write" => fs::sync_dir(folder),
                _ => fs::File::open(path)?.sync_all(),
            });
        }
        done
    }

    /// The same for an operation of which there is no half.
    pub(super) fn change_whole<T>(
        &self,
        what: &str,
        path: &Path,
        operation: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.change(what, path, 0, operation, |_| {})
    }
}

fn open_database(name: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(name, flags)
}

fn power() -> Error {
    Error::other("the power is off")
}

fn broken() -> Error {
    Error::other("the disk failed")
}

/// Turmoil tells its errors in words, the store wants their kinds.
fn named(error: Error) -> Error {
    match error.to_string().as_str() {
        "No space left on device" => ErrorKind::StorageFull.into(),
        "File exists" => ErrorKind::AlreadyExists.into(),
        "No such file or directory" => ErrorKind::NotFound.into(),
        _ => error,
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}
