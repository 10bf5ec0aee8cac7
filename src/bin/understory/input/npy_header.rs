//! The header of a .npy file: a Python dictionary of three entries, written as text.

/// What the header says, before anything is checked against the file.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<u64>,
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`. The error says what was expected.
pub(super) fn parse(text: &str) -> Result<Header, String> {
    let mut cursor = Cursor { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    cursor.expect('{')?;
    while !cursor.take('}') {
        let key = cursor.text()?;
        cursor.expect(':')?;
        match key {
            "descr" if cursor.peeks(['[', '(', '{']) => {
                return Err("expected a plain element type, found a structured one".to_owned());
            }
            "descr" => descr = Some(cursor.text()?.to_owned()),
            "fortran_order" => fortran_order = Some(cursor.boolean()?),
            "shape" => shape = Some(cursor.tuple()?),
            _ => return Err(format!("expected descr, fortran_order and shape in the header, found {key:?}")),
        }
        if !cursor.take(',') {
            cursor.expect('}')?;
            break;
        }
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
        _ => Err("expected descr, fortran_order and shape in the header, found only some of them".to_owned()),
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peeks(&mut self, wanted: [char; 3]) -> bool {
        self.skip_spaces();
        self.rest.starts_with(wanted)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.expected(&format!("{wanted:?}"))) }
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.chars().take(12).collect();
        format!("expected {what} in the header, found {found:?}")
    }

    /// A quoted text. No header that numpy writes escapes anything.
    fn text(&mut self) -> Result<&'a str, String> {
        self.skip_spaces();
        let quoted = ['\'', '"'].into_iter().find_map(|quote| self.rest.strip_prefix(quote)?.split_once(quote));
        let (text, rest) = quoted.ok_or_else(|| self.expected("a quoted text"))?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.skip_spaces();
        for (name, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(name) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.expected("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        self.expect('(')?;
        let mut sides = Vec::new();
        while !self.take(')') {
            sides.push(self.number()?);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sides)
    }

    /// A whole number; Python 2 wrote large ones with an L.
    fn number(&mut self) -> Result<u64, String> {
        self.skip_spaces();
        let digits = self.rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(digits);
        let number = number.parse().map_err(|_| self.expected("a whole number below 2^64"))?;
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(descr: &str, shape: &[u64]) -> Header {
        Header { descr: descr.to_owned(), fortran_order: false, shape: shape.to_vec() }
    }

    #[test]
    fn headers_of_every_spelling_are_read() {
        let cases = [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", header("<f4", &[2, 3])),
            ("{\"shape\":(7,),\"fortran_order\":False,\"descr\":\"|u1\"}", header("|u1", &[7])),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (10L, 2L)}", header("<f8", &[10, 2])),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", header("<f8", &[])),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        assert!(parse("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}").unwrap().fortran_order);
    }

    #[test]
    fn headers_that_are_none_are_refused_with_the_reason() {
        let cases = [
            ("", "'{'"),
            ("{'descr': '<f4', 'fortran_order': False}", "only some"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "structured"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "True or False"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "whole number"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "whole number"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "')'"),
            ("{'descr': '<f4', 'shape': (2), 'more': 1}", "\"more\""),
            ("{'descr: 1", "quoted text"),
        ];
        for (text, reason) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn no_prefix_of_a_header_panics_or_passes() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        for end in 0..text.len() {
            assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}
