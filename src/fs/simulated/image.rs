//! What is on a simulated disk, and the operations that change it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

/// The number of a file or directory, which its names refer to.
pub(crate) type Node = u64;

pub(crate) const ROOT: Node = 0;

/// One change, or one sync, in the order in which the system was asked for it.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write {
        file: Node,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLength {
        file: Node,
        length: u64,
    },
    SyncFile {
        file: Node,
    },
    /// A sync that failed. The system forgets that what was written needs writing: it stays readable, but no later
    /// sync makes it durable.
    FailSync {
        file: Node,
    },
    CreateFile {
        directory: Node,
        name: String,
        node: Node,
    },
    CreateDirectory {
        directory: Node,
        name: String,
        node: Node,
    },
    Rename {
        directory: Node,
        from: String,
        to: String,
        node: Node,
    },
    Remove {
        directory: Node,
        name: String,
    },
    SyncDirectory {
        directory: Node,
    },
}

impl Operation {
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self, Operation::SyncFile { .. } | Operation::SyncDirectory { .. })
    }

    /// The file whose bytes or length it changes.
    pub(super) fn file(&self) -> Option<Node> {
        match self {
            Operation::Write { file, .. } | Operation::SetLength { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// The directory that it changes.
    pub(super) fn directory(&self) -> Option<Node> {
        match self {
            Operation::CreateFile { directory, .. }
            | Operation::CreateDirectory { directory, .. }
            | Operation::Rename { directory, .. }
            | Operation::Remove { directory, .. } => Some(*directory),
            _ => None,
        }
    }
}

/// Files and directories. Files are shared between images until one of them changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    files: BTreeMap<Node, Arc<Vec<u8>>>,
    directories: BTreeMap<Node, BTreeMap<String, Node>>,
}

impl Image {
    pub(crate) fn empty() -> Image {
        Image { directories: [(ROOT, BTreeMap::new())].into(), ..Image::default() }
    }

    /// Carries an operation out. It works also where those before it were lost: a file is there as soon as it is
    /// written, though nothing may name it.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { file, offset, bytes } => self.write(*file, *offset as usize, bytes),
            Operation::SetLength { file, length } => self.file_mut(*file).resize(*length as usize, 0),
            Operation::SyncFile { .. } | Operation::FailSync { .. } | Operation::SyncDirectory { .. } => {}
            Operation::CreateFile { directory, name, node } => {
                self.file_mut(*node);
                self.name(*directory, name, *node);
            }
            Operation::CreateDirectory { directory, name, node } => {
                self.directories.entry(*node).or_default();
                self.name(*directory, name, *node);
            }
            Operation::Rename { directory, from, to, node } => {
                let entries = self.directories.entry(*directory).or_default();
                entries.remove(from);
                entries.insert(to.clone(), *node);
                if !self.directories.contains_key(node) {
                    self.file_mut(*node);
                }
            }
            Operation::Remove { directory, name } => {
                self.directories.entry(*directory).or_default().remove(name);
            }
        }
    }

    pub(crate) fn write(&mut self, file: Node, offset: usize, bytes: &[u8]) {
        let data = self.file_mut(file);
        let end = offset + bytes.len();
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset..end].copy_from_slice(bytes);
    }

    fn file_mut(&mut self, file: Node) -> &mut Vec<u8> {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    fn name(&mut self, directory: Node, name: &str, node: Node) {
        self.directories.entry(directory).or_default().insert(name.to_owned(), node);
    }

    /// Drops what no name leads to: after a power cut no process holds it open.
    pub(crate) fn forget_nameless(&mut self) {
        let mut reached = vec![ROOT];
        let mut next = 0;
        while let Some(&node) = reached.get(next) {
            reached.extend(self.directories.get(&node).into_iter().flat_map(|entries| entries.values()));
            next += 1;
        }
        self.files.retain(|node, _| reached.contains(node));
        self.directories.retain(|node, _| reached.contains(node));
    }

    /// The node at a path relative to the root.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let name = name.to_str().expect("names on a simulated disk are text");
            let found = self.directories.get(&node).and_then(|entries| entries.get(name));
            node = *found.ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(crate) fn file(&self, node: Node) -> io::Result<&Arc<Vec<u8>>> {
        self.files.get(&node).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn entries(&self, node: Node) -> io::Result<&BTreeMap<String, Node>> {
        self.directories.get(&node).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    pub(crate) fn is_directory(&self, node: Node) -> bool {
        self.directories.contains_key(&node)
    }

    /// A number that no node has.
    pub(crate) fn free_node(&self) -> Node {
        let last = |node: Option<&Node>| node.copied().unwrap_or(ROOT);
        last(self.files.keys().next_back()).max(last(self.directories.keys().next_back())) + 1
    }
}
