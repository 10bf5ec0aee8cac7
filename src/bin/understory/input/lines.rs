//! Text files read line by line, with line numbers for errors.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::open_file;
use crate::failure::{Failure, Result};

/// Twenty times what a vector and metadata that a store takes are as JSON.
const MAX_LINE_BYTES: u64 = 64 << 20;

pub(crate) struct Lines {
    file: BufReader<File>,
    path: PathBuf,
    /// Number of the line read last, counted from 1.
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Lines> {
        let (file, _) = open_file(path)?;
        Ok(Lines {
            file: BufReader::with_capacity(1 << 18, file),
            path: path.to_owned(),
            number: 0,
            line: Vec::new(),
        })
    }

    /// The next line without its end; `None` after the last one.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        let mut bounded = (&mut self.file).take(MAX_LINE_BYTES + 1);
        let bytes =
            bounded.read_until(b'\n', &mut self.line).map_err(|error| Failure::reading(&self.path, &error))?;
        if bytes == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes as u64 > MAX_LINE_BYTES {
            return Err(self.fault(format!("expected a line of at most {MAX_LINE_BYTES} bytes, found a longer one")));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        std::str::from_utf8(line).map(Some).map_err(|_| self.fault("expected UTF-8, found other bytes"))
    }

    /// A fault of the line read last.
    pub(crate) fn fault(&self, what: impl std::fmt::Display) -> Failure {
        Failure::in_file(&self.path, format!("line {}: {what}", self.number))
    }
}

/// How many lines a file has, counting a last one without an end.
pub(crate) fn count_lines(path: &Path) -> Result<u64> {
    let (file, _) = open_file(path)?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    let (mut lines, mut last) = (0, b'\n');
    loop {
        let bytes = file.fill_buf().map_err(|error| Failure::reading(path, &error))?;
        let Some(&end) = bytes.last() else { break };
        last = end;
        lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let length = bytes.len();
        file.consume(length);
    }
    Ok(lines + u64::from(last != b'\n'))
}
