//! The names that an expression may use, and the environment that has their values.

use std::net::IpAddr;

use crate::{Type, Value};

/// A function of the environment.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments.
    pub parameters: &'static [Type],
    /// The type of its result.
    pub result: Type,
}

/// The functions and variables of an environment, by number.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    functions: Vec<Function>,
    variables: Vec<(String, Type)>,
}

impl Scope {
    /// Adds a function and returns its number.
    pub fn function(&mut self, function: Function) -> usize {
        self.functions.push(function);
        self.functions.len() - 1
    }

    /// Adds a variable and returns its number.
    pub fn variable(&mut self, name: impl Into<String>, kind: Type) -> usize {
        self.variables.push((name.into(), kind));
        self.variables.len() - 1
    }

    /// Whether a function or a variable of the environment has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find_function(name).is_some() || self.find_variable(name).is_some()
    }

    pub(crate) fn find_function(&self, name: &str) -> Option<(usize, &Function)> {
        self.functions.iter().enumerate().find(|(_, function)| function.name == name)
    }

    pub(crate) fn find_variable(&self, name: &str) -> Option<(usize, &Type)> {
        let found = |(_, (known, _)): &(usize, &(String, Type))| known == name;
        let (index, (_, kind)) = self.variables.iter().enumerate().find(found)?;
        Some((index, kind))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let functions = self.functions.iter().map(|function| function.name);
        functions.chain(self.variables.iter().map(|(name, _)| name.as_str()))
    }
}

/// Knows the values of a scope's functions and variables.
pub trait Environment {
    /// The result of function number `function`. The types of `arguments` are right as far as they
    /// were known when the text was parsed.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    fn call<'v>(&'v self, function: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, String>;

    /// The value of variable number `variable`.
    fn variable(&self, variable: usize) -> Value<'_> {
        let _ = variable;
        Value::Nil
    }

    /// The address whose text function number `function` gives, if it gives one: sparing the text
    /// where only the address counts.
    fn address(&self, function: usize) -> Option<IpAddr> {
        let _ = function;
        None
    }
}
