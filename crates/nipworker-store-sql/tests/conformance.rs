//! Both databases against the suite that every store runs.

#![allow(clippy::unwrap_used)]

mod place;

mod sqlite {
    use nipworker_store::{EventStore, conformance::durable::InFolder};

    nipworker_store::event_store_conformance!(|| -> Box<dyn EventStore> {
        Box::new(InFolder::new(|path| crate::place::sqlite(path).unwrap()))
    });
}

mod postgres {
    use nipworker_store::EventStore;
    use nipworker_store_sql::{SqlOptions, SqlStore};

    nipworker_store::event_store_conformance!(|| -> Box<dyn EventStore> {
        let url = crate::place::fresh_schema();
        Box::new(SqlStore::open_postgres(&url, None, SqlOptions::default()).unwrap())
    });
}
