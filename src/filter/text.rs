//! The text syntax: a parser by recursive descent, as deep as filters may be.
//!
//! ```text
//! any       = all { "or" all }
//! all       = one { "and" one }
//! one       = "not" one | "(" any ")" | "true" | "false" | test
//! test      = field [ "not" ] operator | "id" [ "not" ] "in" list | "id" ( "=" | "!=" ) id
//! operator  = ( "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) value | "in" list | "between" value "and" value
//!           | "is" [ "not" ] "null" | "starts" "with" text | "contains" ( text | ( "all" | "any" ) list )
//! list      = "(" [ value { "," value } ] ")"
//! ```

use std::collections::BTreeSet;

use super::check::{check_node, check_one, too_deep};
use super::tokens::{Kind, Token, refused, tokens};
use super::{Field, Filter, MAX_DEPTH, Node, field};
use crate::error::{Error, Result};
use crate::metadata::Value;
use crate::types::Id;

pub(super) fn parse(text: &str) -> Result<Filter> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, size: 0 };
    let filter = parser.any()?;
    match &parser.peek().kind {
        Kind::End => Ok(filter),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

/// Words that begin no test.
const NO_FIELDS: [&str; 6] = ["and", "or", "in", "is", "between", "null"];

struct Parser {
    /// Ends with [`Kind::End`], beyond which nothing reads.
    tokens: Vec<Token>,
    at: usize,
    /// Parentheses and negations around what is being parsed.
    depth: usize,
    /// Tests and values so far.
    size: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// The error that something else stands here.
    fn expected(&self, what: &str) -> Error {
        let Token { column, kind } = self.peek();
        refused(*column, format!("expected {what}, found {}", kind.describe()))
    }

    fn is_word(&self, keyword: &str) -> bool {
        matches!(&self.peek().kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let found = self.is_word(keyword);
        if found {
            self.advance();
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().kind, Kind::Sign(found) if found == sign);
        if found {
            self.advance();
        }
        found
    }

    fn any(&mut self) -> Result<Filter> {
        let mut filters = vec![self.all()?];
        while self.take_word("or") {
            filters.push(self.all()?);
        }
        self.joined(filters, Filter::any)
    }

    fn all(&mut self) -> Result<Filter> {
        let mut filters = vec![self.one()?];
        while self.take_word("and") {
            filters.push(self.one()?);
        }
        self.joined(filters, Filter::all)
    }

    fn joined(&mut self, filters: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Result<Filter> {
        let column = self.peek().column;
        match filters.len() {
            1 => Ok(join(filters)),
            _ => self.counted(column, join(filters), check_one),
        }
    }

    fn one(&mut self) -> Result<Filter> {
        let column = self.peek().column;
        if self.take_word("not") {
            let inner = self.nested(column, Parser::one)?;
            return self.counted(column, !inner, check_one);
        }
        if self.take_sign("(") {
            let inner = self.nested(column, Parser::any)?;
            return match self.take_sign(")") {
                true => Ok(inner),
                false => Err(self.expected("`and`, `or` or `)`")),
            };
        }
        let filter = match &self.peek().kind {
            Kind::Word(word) if word.eq_ignore_ascii_case("true") => {
                self.advance();
                Filter::all([])
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("false") => {
                self.advance();
                Filter::any([])
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("id") => {
                self.advance();
                self.ids()?
            }
            Kind::Word(word) if NO_FIELDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) => {
                return Err(self.expected("a field"));
            }
            Kind::Word(path) | Kind::Name(path) => {
                let field = field(path.clone());
                self.advance();
                self.test(field)?
            }
            _ => return Err(self.expected("a field")),
        };
        self.counted(column, filter, check_node)
    }

    fn nested(&mut self, column: usize, inner: fn(&mut Parser) -> Result<Filter>) -> Result<Filter> {
        if self.depth >= MAX_DEPTH {
            return Err(refused(column, too_deep()));
        }
        self.depth += 1;
        let filter = inner(self)?;
        self.depth -= 1;
        Ok(filter)
    }

    /// The filter, if it is accepted.
    fn counted(
        &mut self,
        column: usize,
        filter: Filter,
        check: fn(&Node, &mut usize) -> Option<String>,
    ) -> Result<Filter> {
        if filter.depth > MAX_DEPTH {
            return Err(refused(column, too_deep()));
        }
        match check(&filter.node, &mut self.size) {
            Some(message) => Err(refused(column, message)),
            None => Ok(filter),
        }
    }

    /// What follows a field.
    fn test(&mut self, field: Field) -> Result<Filter> {
        if let Kind::Sign(sign) = self.peek().kind {
            let compare: fn(Field, Value) -> Filter = match sign {
                "=" => Field::is,
                "!=" | "<>" => Field::ne,
                "<" => Field::lt,
                "<=" => Field::le,
                ">" => Field::gt,
                ">=" => Field::ge,
                _ => return Err(self.expected("an operator")),
            };
            self.advance();
            return Ok(compare(field, self.value()?));
        }
        if self.take_word("is") {
            let negated = self.take_word("not");
            if !self.take_word("null") {
                return Err(self.expected("`null`"));
            }
            return Ok(if negated { field.exists() } else { field.is_null() });
        }
        let negated = self.take_word("not");
        let filter = if self.take_word("in") {
            field.is_in(self.list(Parser::value)?)
        } else if self.take_word("between") {
            let low = self.value()?;
            if !self.take_word("and") {
                return Err(self.expected("`and`"));
            }
            field.between(low, self.value()?)
        } else if self.take_word("starts") {
            if !self.take_word("with") {
                return Err(self.expected("`with`"));
            }
            field.starts_with(self.text()?)
        } else if self.take_word("contains") {
            if self.take_word("all") {
                field.contains_all(self.list(Parser::value)?)
            } else if self.take_word("any") {
                field.contains_any(self.list(Parser::value)?)
            } else {
                field.contains(self.text()?)
            }
        } else {
            return Err(self.expected("an operator"));
        };
        Ok(if negated { !filter } else { filter })
    }

    /// What follows `id`.
    fn ids(&mut self) -> Result<Filter> {
        let negated = self.take_word("not");
        let (ids, negated) = if self.take_word("in") {
            (self.list(Parser::id)?, negated)
        } else if !negated && self.take_sign("=") {
            (vec![self.id()?], false)
        } else if !negated && (self.take_sign("!=") || self.take_sign("<>")) {
            (vec![self.id()?], true)
        } else {
            return Err(self.expected("`in`, `=` or `!=` behind `id` (a field of that name stands in back-quotes)"));
        };
        let filter = Filter::leaf(Node::Ids(ids.into_iter().collect::<BTreeSet<Id>>()));
        Ok(if negated { !filter } else { filter })
    }

    fn list<T>(&mut self, one: fn(&mut Parser) -> Result<T>) -> Result<Vec<T>> {
        if !self.take_sign("(") {
            return Err(self.expected("`(`"));
        }
        let mut values = Vec::new();
        if self.take_sign(")") {
            return Ok(values);
        }
        loop {
            values.push(one(self)?);
            if self.take_sign(")") {
                return Ok(values);
            }
            if !self.take_sign(",") {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    fn value(&mut self) -> Result<Value> {
        let value = match &self.peek().kind {
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Kind::Timestamp(moment) => Value::Timestamp(*moment),
            Kind::Number(number) => self.number(number)?,
            Kind::Word(word) if word.eq_ignore_ascii_case("true") => Value::Bool(true),
            Kind::Word(word) if word.eq_ignore_ascii_case("false") => Value::Bool(false),
            Kind::Word(word) if word.eq_ignore_ascii_case("inf") => Value::Float(f64::INFINITY),
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => {
                return Err(self.expected("a value to compare with (`is null` tests for null)"));
            }
            _ => return Err(self.expected("a value")),
        };
        self.advance();
        Ok(value)
    }

    fn number(&self, written: &str) -> Result<Value> {
        if written == "-inf" {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        let digits = written.trim_start_matches(['-', '+']);
        if digits.bytes().all(|digit| digit.is_ascii_digit()) {
            let range = format!("an integer from {} to {}", i64::MIN, i64::MAX);
            return written.parse().map(Value::Integer).map_err(|_| self.expected(&range));
        }
        let plain = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let number = written.parse().ok().filter(|number: &f64| plain && number.is_finite());
        number.map(Value::Float).ok_or_else(|| self.expected("a number"))
    }

    fn text(&mut self) -> Result<String> {
        match &self.peek().kind {
            Kind::Text(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.expected("a text in quotes")),
        }
    }

    fn id(&mut self) -> Result<Id> {
        let id = match &self.peek().kind {
            Kind::Text(text) => Id::Text(text.clone()),
            Kind::Number(number) => match number.parse() {
                Ok(number) => Id::Number(number),
                Err(_) => return Err(self.expected(&format!("an id: a text or a number up to {}", u64::MAX))),
            },
            _ => return Err(self.expected("an id: a text or a number")),
        };
        self.advance();
        Ok(id)
    }
}
