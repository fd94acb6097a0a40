//! Statements that are put together at run time, with what is bound to them.

use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type, any::AnyArguments, query::Query};

/// A statement in the making. Values never stand in its text.
#[derive(Default)]
pub(crate) struct Statement {
    text: String,
    arguments: AnyArguments,
}

impl Statement {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Appends `text`, which must not hold anything that came from outside.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Binds `value` and appends its placeholder.
    pub(crate) fn push_bind<'v, T>(&mut self, value: T) -> &mut Self
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        let placeholder = self.bind(value);
        self.text.push_str(&placeholder);
        self
    }

    /// Binds `value` and says what its placeholder is.
    pub(crate) fn bind<'v, T>(&mut self, value: T) -> String
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        // Numbers, texts and bytes are only moved.
        self.arguments.add(value).expect("encoding a plain value does not fail");
        format!("${}", self.arguments.len())
    }

    pub(crate) fn query(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments)
    }
}
