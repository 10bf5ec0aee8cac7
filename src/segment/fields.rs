//! What a segment knows of the fields of the metadata.

use crate::bytes::Malformed;
use crate::error::{Error, Result};
use crate::segment::columns::{Directory, Field};
use crate::segment::format::Kind;
use crate::segment::reader::Segment;

impl Segment {
    /// What the segment knows of a field of the metadata.
    pub(crate) fn field(&self, path: &str) -> Result<Field<'_>> {
        match self.columns()? {
            Some(columns) => columns
                .field(self.section(Kind::Columns), self.items(), path)
                .map_err(|fault| self.in_field(path, fault)),
            None => Ok(Field::Unindexed),
        }
    }

    /// The fields that have columns, and the bytes of each.
    pub(crate) fn indexed_fields(&self) -> Result<Vec<(String, usize)>> {
        let columns = self.columns()?;
        Ok(columns
            .map_or_else(Vec::new, |columns| columns.indexed().map(|(path, len)| (path.to_owned(), len)).collect()))
    }

    /// The directory of the columns, if there are any.
    pub(super) fn columns(&self) -> Result<Option<&Directory>> {
        let section = self.section(Kind::Columns);
        if section.is_empty() {
            return Ok(None);
        }
        if let Some(columns) = self.columns.get() {
            return Ok(Some(columns));
        }
        let columns = Directory::read(section).map_err(|fault| self.lift(self.at(Kind::Columns, 0), fault))?;
        Ok(Some(self.columns.get_or_init(|| columns)))
    }

    /// Names the column of a field in an error.
    pub(crate) fn in_field(&self, path: &str, fault: Malformed) -> Error {
        self.lift(format!("{}, field {path:?}", self.at(Kind::Columns, 0)), fault)
    }
}
