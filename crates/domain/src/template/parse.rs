//! Template text → nodes.

use super::{DEPTH_MAX, Node, TEMPLATE_CHARS_MAX, TemplateError, VARIABLES_MAX, Variable};

/// Reads a whole template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    if text.chars().count() > TEMPLATE_CHARS_MAX {
        return Err(TemplateError::TooLong);
    }
    let mut reader = Reader { rest: text, variables: 0 };
    reader.nodes_until(None, 0)
}

struct Reader<'a> {
    rest: &'a str,
    variables: usize,
}

/// What stands at the beginning of the unread text.
enum Token {
    /// `$(` or `${`, with the character that closes it.
    Opening(char),
    Char(char),
}

impl Reader<'_> {
    /// Reads up to `closing`, which is taken too, or to the end of the text where there is none.
    fn nodes_until(&mut self, closing: Option<char>, depth: usize) -> Result<Vec<Node>, TemplateError> {
        let began = self.rest;
        let mut body = Body { closing, nodes: Vec::new(), text: String::new(), open: 0, is_quoted: false };
        while let Some(token) = self.next() {
            match token {
                Token::Opening(closing) => {
                    body.end_text();
                    let variable = self.variable(closing, depth + 1)?;
                    body.nodes.push(Node::Variable(variable));
                }
                Token::Char(char) if body.closes_at(char) => return Ok(body.end()),
                Token::Char(char) => body.text.push(char),
            }
        }
        match closing {
            None => Ok(body.end()),
            Some(_) => {
                Err(TemplateError::Unclosed(format!("$({}", began.chars().take(20).collect::<String>())))
            }
        }
    }

    /// Reads a variable whose opening was taken.
    fn variable(&mut self, closing: char, depth: usize) -> Result<Variable, TemplateError> {
        self.variables += 1;
        if self.variables > VARIABLES_MAX {
            return Err(TemplateError::TooManyVariables);
        }
        if depth > DEPTH_MAX {
            return Err(TemplateError::TooDeep);
        }
        let mut nodes = self.nodes_until(Some(closing), depth)?;
        let Some(Node::Text(first)) = nodes.first_mut() else { return Err(TemplateError::NoName) };
        let trimmed = first.trim_start();
        let name_end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
        let (name, rest) = trimmed.split_at(name_end);
        let (name, rest) = (name.to_owned(), rest.trim_start().to_owned());
        if name.is_empty() {
            return Err(TemplateError::NoName);
        }
        if rest.is_empty() {
            nodes.remove(0);
        } else {
            *first = rest;
        }
        Variable::new(&name, nodes)
    }

    fn next(&mut self) -> Option<Token> {
        for (opening, closing) in [("$(", ')'), ("${", '}')] {
            if let Some(rest) = self.rest.strip_prefix(opening) {
                self.rest = rest;
                return Some(Token::Opening(closing));
            }
        }
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        Some(Token::Char(char))
    }
}

/// What was read of a variable, or of the whole text.
struct Body {
    /// `None`: the whole text, which nothing closes.
    closing: Option<char>,
    nodes: Vec<Node>,
    /// Text since the last variable.
    text: String,
    /// Brackets that are open within it, so that `$(random pick (a) (b))` reads as people mean it.
    open: usize,
    /// Within quotes nothing is closed: `$(random pick "hi :)" bye)`.
    is_quoted: bool,
}

impl Body {
    /// Takes note of a character and says whether it ends the body.
    fn closes_at(&mut self, char: char) -> bool {
        let Some(closing) = self.closing else { return false };
        let opening = if closing == ')' { '(' } else { '{' };
        let begins_word = self.text.ends_with([' ', '|']);
        match char {
            '"' if self.is_quoted => self.is_quoted = false,
            '"' if begins_word => self.is_quoted = true,
            _ if self.is_quoted => {}
            _ if char == opening => self.open += 1,
            _ if char == closing && self.open == 0 => return true,
            _ if char == closing => self.open -= 1,
            _ => {}
        }
        false
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.nodes.push(Node::Text(std::mem::take(&mut self.text)));
        }
    }

    fn end(mut self) -> Vec<Node> {
        if self.closing.is_some() {
            self.text.truncate(self.text.trim_end().len());
        }
        self.end_text();
        self.nodes
    }
}
