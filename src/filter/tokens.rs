//! The words of the text syntax: names, keywords, literals and signs, each with its column.

use crate::error::{Error, Result};
use crate::metadata::Timestamp;

/// A word, and where it begins: in characters, from 1.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) column: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A keyword or a field.
    Word(String),
    /// A field in back-quotes.
    Name(String),
    Text(String),
    /// A number as it was written.
    Number(String),
    Bytes(Vec<u8>),
    Timestamp(Timestamp),
    Sign(&'static str),
    End,
}

impl Kind {
    /// What a message calls it.
    pub(super) fn describe(&self) -> String {
        match self {
            Kind::Word(word) | Kind::Number(word) => format!("`{}`", shortened(word)),
            Kind::Name(name) => format!("the field `{}`", shortened(name)),
            Kind::Text(text) => format!("the text {:?}", shortened(text)),
            Kind::Bytes(_) => "bytes".into(),
            Kind::Timestamp(_) => "a timestamp".into(),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end".into(),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn refused(column: usize, message: impl Into<String>) -> Error {
    Error::InvalidFilter { column: Some(column), message: message.into() }
}

/// Whether a bare name may begin so.
pub(super) fn begins_word(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

/// Whether a bare name may go on so.
pub(super) fn continues_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '.'
}

/// Signs, longer ones before those they begin with.
const SIGNS: [&str; 10] = ["<=", ">=", "!=", "<>", "=", "<", ">", "(", ")", ","];

/// All words of a text, the end included.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut reader = Reader { rest: text, column: 1 };
    let mut tokens = Vec::new();
    loop {
        reader.take_while(char::is_whitespace);
        let column = reader.column;
        let kind = reader.token()?;
        let ended = kind == Kind::End;
        tokens.push(Token { column, kind });
        if ended {
            return Ok(tokens);
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        self.column += 1;
        Some(next)
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn token(&mut self) -> Result<Kind> {
        let column = self.column;
        let Some(first) = self.peek() else { return Ok(Kind::End) };
        if begins_word(first) {
            let word = self.take_while(continues_word);
            return match self.peek() {
                Some('"' | '\'') if word.eq_ignore_ascii_case("ts") => {
                    let text = self.quoted()?;
                    text.parse().map(Kind::Timestamp).map_err(|error: Error| refused(column, error.to_string()))
                }
                Some('"' | '\'') if word.eq_ignore_ascii_case("x") => {
                    let text = self.quoted()?;
                    hexadecimal(&text).map(Kind::Bytes).ok_or_else(|| {
                        refused(column, format!("expected pairs of hexadecimal digits, found {:?}", shortened(&text)))
                    })
                }
                _ => Ok(Kind::Word(word.to_owned())),
            };
        }
        match first {
            '"' | '\'' => self.quoted().map(Kind::Text),
            '`' => self.name(),
            '0'..='9' | '.' | '-' | '+' => Ok(Kind::Number(self.number())),
            other => {
                let sign = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign));
                let found = || refused(column, format!("expected a field, a value or an operator, found {other:?}"));
                let sign = sign.ok_or_else(found)?;
                self.rest = &self.rest[sign.len()..];
                self.column += sign.len();
                Ok(Kind::Sign(sign))
            }
        }
    }

    /// Digits and letters from a sign or a digit on; whether they are a number is seen where it is known which.
    fn number(&mut self) -> String {
        let mut before = 'e';
        let taken = self.take_while(|character| {
            let sign = (character == '-' || character == '+') && before.eq_ignore_ascii_case(&'e');
            before = character;
            sign || character == '.' || character.is_ascii_alphanumeric()
        });
        taken.to_owned()
    }

    /// A name in back-quotes, in which two stand for one.
    fn name(&mut self) -> Result<Kind> {
        let column = self.column;
        self.next();
        let mut name = String::new();
        loop {
            name.push_str(self.take_while(|character| character != '`'));
            match (self.next(), self.peek()) {
                (None, _) => return Err(refused(column, "expected a second back-quote, found the end")),
                (_, Some('`')) => {
                    self.next();
                    name.push('`');
                }
                _ => return Ok(Kind::Name(name)),
            }
        }
    }

    /// A text between two quotes of a kind.
    fn quoted(&mut self) -> Result<String> {
        let column = self.column;
        let quote = self.next();
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|character| Some(character) != quote && character != '\\'));
            match self.next() {
                None => return Err(refused(column, "expected a closing quote, found the end")),
                Some('\\') => text.push(self.escaped()?),
                Some(_) => return Ok(text),
            }
        }
    }

    /// What stands for a character behind a backslash.
    fn escaped(&mut self) -> Result<char> {
        let column = self.column - 1;
        let wrong =
            || refused(column, "expected \\\\, \\\", \\', \\n, \\t, \\r or \\u{1f332}, found another backslash");
        match self.next() {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some(plain @ ('\\' | '"' | '\'')) => Ok(plain),
            Some('u') if self.peek() == Some('{') => {
                self.next();
                let digits = self.take_while(|character| character.is_ascii_hexdigit());
                let character = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                character.filter(|_| self.next() == Some('}')).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}
