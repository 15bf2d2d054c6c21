//! A file system in memory that forgets what was not synced when its power is cut, in every way a real one may.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::files::{Attributes, Files};

/// The user of the machine.
const USER: u32 = 1000;

/// What belongs to that user; all else is root's.
pub(super) const HOME: &str = "/home/pi";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Inode {
    /// What processes see, and what is surely on the disk.
    File { now: Vec<u8>, synced: Vec<u8> },
    /// The same for the names in a directory, and what was done to them since, in its order.
    Directory { now: Names, synced: Names, since: Vec<Change> },
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// The disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Disk(Vec<Inode>);

impl Disk {
    /// One with this directory.
    pub(super) fn with(directory: &Path) -> Self {
        let files = Fake::new(Self(vec![Inode::Directory {
            now: Names::new(),
            synced: Names::new(),
            since: Vec::new(),
        }]));
        let mut path = std::path::PathBuf::from("/");
        for name in directory.iter().skip(1) {
            path.push(name);
            files.make_directory(&path).unwrap();
        }
        let disk = files.disk();
        disk.after_power_cut(&mut Choices::everything_survives())
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().skip(1).try_fold(0, |inode, name| match &self.0[inode] {
            Inode::Directory { now, .. } => now.get(name.to_str().unwrap()).copied(),
            Inode::File { .. } => None,
        })
    }

    fn change(&mut self, directory: &Path, change: Change) -> io::Result<()> {
        match self.find(directory).map(|inode| &mut self.0[inode]) {
            Some(Inode::Directory { now, since, .. }) => {
                change.apply(now);
                since.push(change);
                Ok(())
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What is on it after its power was cut: of every change of a name that was not synced, whether it was done; of every file that was
    /// not, which part.
    pub(super) fn after_power_cut(&self, choices: &mut Choices) -> Self {
        let inodes = self.0.iter().map(|inode| match inode {
            Inode::File { now, synced } => {
                let zeros = vec![0; now.len()];
                let ways = [synced, now, &now[..now.len() / 2].to_vec(), &zeros];
                let content = if now == synced { now } else { ways[choices.choose(ways.len())] };
                Inode::File { now: content.clone(), synced: content.clone() }
            }
            Inode::Directory { synced, since, .. } => {
                let mut names = synced.clone();
                for change in since {
                    if choices.choose(2) == 0 {
                        change.apply(&mut names);
                    }
                }
                Inode::Directory { now: names.clone(), synced: names, since: Vec::new() }
            }
        });
        Self(inodes.collect())
    }

    /// Every disk that a power cut may leave.
    pub(super) fn after_any_power_cut(&self) -> BTreeSet<Self> {
        let mut found = BTreeSet::new();
        let mut choices = Choices::default();
        loop {
            found.insert(self.after_power_cut(&mut choices));
            if !choices.advance() {
                return found;
            }
        }
    }
}

/// One way through all choices, and then the next.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// What was chosen of how many.
    made: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn everything_survives() -> Self {
        Self::default() // the first choice of a change is that it was done
    }

    fn choose(&mut self, of: usize) -> usize {
        if self.at == self.made.len() {
            self.made.push((0, of));
        }
        self.at += 1;
        self.made[self.at - 1].0
    }

    /// Goes on to the next way. Says whether there is one.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.made.pop() {
            if chosen + 1 < of {
                self.made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    None,
    /// The power is cut before this step: nothing happens from there on.
    PowerCut(usize),
    /// This step fails.
    Fails(usize, io::ErrorKind),
    /// All steps that change anything fail.
    Refuses(io::ErrorKind),
}

struct State {
    disk: Disk,
    trouble: Trouble,
    /// The names of the steps there were.
    steps: Vec<&'static str>,
    locked: BTreeSet<usize>,
}

/// The disk in a machine. Clones are processes on that machine.
#[derive(Clone)]
pub(super) struct Fake(Rc<RefCell<State>>);

impl Fake {
    pub(super) fn new(disk: Disk) -> Self {
        Self(Rc::new(RefCell::new(State {
            disk,
            trouble: Trouble::None,
            steps: Vec::new(),
            locked: BTreeSet::new(),
        })))
    }

    /// From now on, with steps counted from 0.
    pub(super) fn trouble(&self, trouble: Trouble) {
        let mut state = self.0.borrow_mut();
        state.trouble = trouble;
        state.steps.clear();
    }

    pub(super) fn disk(&self) -> Disk {
        self.0.borrow().disk.clone()
    }

    pub(super) fn steps(&self) -> Vec<&'static str> {
        self.0.borrow().steps.clone()
    }

    /// Puts a file there, as another program would.
    pub(super) fn put(&self, path: &str, content: &[u8]) {
        let path = Path::new(path);
        let mut file = self.create(path).unwrap();
        self.write(&mut file, content).unwrap();
        self.sync(&mut file).unwrap();
        self.sync_directory(path.parent().unwrap()).unwrap();
    }

    fn step(&self, name: &'static str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let number = state.steps.len();
        state.steps.push(name);
        let changes = !matches!(name, "attributes" | "list" | "read");
        match state.trouble {
            Trouble::PowerCut(at) if number >= at => Err(io::Error::other("power was cut")),
            Trouble::Fails(at, kind) if number == at => Err(kind.into()),
            Trouble::Refuses(kind) if changes => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn content<T>(&self, inode: usize, act: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> T) -> io::Result<T> {
        match &mut self.0.borrow_mut().disk.0[inode] {
            Inode::File { now, synced } => Ok(act(now, synced)),
            Inode::Directory { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&self, path: &Path, inode: Inode) -> io::Result<usize> {
        let disk = &mut self.0.borrow_mut().disk;
        if disk.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change(path.parent().unwrap(), Change::Add(name(path), disk.0.len()))?;
        disk.0.push(inode);
        Ok(disk.0.len() - 1)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Unlocks when dropped.
pub(super) struct Lock(Fake, usize);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.borrow_mut().locked.remove(&self.1);
    }
}

impl Files for Fake {
    type File = usize;
    type Lock = Lock;

    fn user(&self) -> u32 {
        USER
    }

    fn attributes(&self, path: &Path) -> io::Result<Option<Attributes>> {
        self.step("attributes")?;
        let disk = &self.0.borrow().disk;
        let is_directory = |inode: usize| matches!(disk.0[inode], Inode::Directory { .. });
        let owner = if path.starts_with(HOME) { USER } else { 0 };
        let of = |inode| Attributes { is_directory: is_directory(inode), owner, mode: 0o700 };
        Ok(disk.find(path).map(of))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.step("make_directory")?;
        let empty = Inode::Directory { now: Names::new(), synced: Names::new(), since: Vec::new() };
        self.add(path, empty).map(drop)
    }

    fn list(&self, directory: &Path, extension: &str, limit: usize) -> io::Result<(Vec<String>, usize)> {
        self.step("list")?;
        let disk = &self.0.borrow().disk;
        let Some(inode) = disk.find(directory) else { return Ok((Vec::new(), 0)) };
        let Inode::Directory { now, .. } = &disk.0[inode] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let found = now.keys().filter(|name| Path::new(name).extension().is_some_and(|e| e == extension));
        let names: Vec<_> = found.cloned().collect();
        let more = names.len().saturating_sub(limit);
        Ok((names.into_iter().take(limit).collect(), more))
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.step("read")?;
        let Some(inode) = self.0.borrow().disk.find(path) else { return Ok(None) };
        self.content(inode, |now, _| {
            let fits = now.len() <= limit;
            fits.then(|| Some(now.clone())).ok_or_else(|| io::Error::other("is too long"))
        })?
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        self.step("create")?;
        self.add(path, Inode::File { now: Vec::new(), synced: Vec::new() })
    }

    fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        // A disk that becomes full takes some of it.
        let step = self.step("write");
        let taken = if step.is_ok() { bytes.len() } else { bytes.len() / 3 };
        if !matches!(self.0.borrow().trouble, Trouble::PowerCut(at) if self.steps().len() > at) {
            self.content(*file, |now, _| now.extend_from_slice(&bytes[..taken]))?;
        }
        step
    }

    fn sync(&self, file: &mut usize) -> io::Result<()> {
        self.step("sync")?;
        self.content(*file, |now, synced| synced.clone_from(now))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename")?;
        let disk = &mut self.0.borrow_mut().disk;
        disk.find(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change(from.parent().unwrap(), Change::Rename(name(from), name(to)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove")?;
        let disk = &mut self.0.borrow_mut().disk;
        disk.find(path).ok_or(io::ErrorKind::NotFound)?;
        disk.change(path.parent().unwrap(), Change::Remove(name(path)))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step("sync_directory")?;
        let disk = &mut self.0.borrow_mut().disk;
        match disk.find(path).map(|inode| &mut disk.0[inode]) {
            Some(Inode::Directory { now, synced, since }) => {
                synced.clone_from(now);
                since.clear();
                Ok(())
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.try_lock(path)?.ok_or_else(|| io::Error::other("nobody would ever unlock it"))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.step("lock")?;
        let known = self.0.borrow().disk.find(path);
        let inode = match known {
            Some(inode) => inode,
            None => self.add(path, Inode::File { now: Vec::new(), synced: Vec::new() })?,
        };
        let free = self.0.borrow_mut().locked.insert(inode);
        Ok(free.then(|| Lock(self.clone(), inode)))
    }
}
