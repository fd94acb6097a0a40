//! Questions to workers, as bytes, and what their answers mean to a caller.

use nipworker_schema::{
    ClientEdge, ClientMessageT, CryptoEdge, CryptoMessageT, MinerEdge, MinerMessageT,
};
use nipworker_supervision::Recipient;

use crate::ClientError;

/// How often a request that can be repeated is made while workers fail for passing reasons.
const TRIES: usize = 4;
/// How often it is made when the worker failed at it: the fault may be in the request, and each
/// try costs a restart.
const TRIES_AT_A_PANIC: usize = 2;

macro_rules! asker {
    ($name:ident, $edge:ident, $message:ident) => {
        pub(crate) async fn $name(
            worker: &Recipient<$edge>,
            request: $edge,
        ) -> Result<$message, ClientError> {
            match worker.ask(request).await?.decode()? {
                $message::Failed(failed) => Err((*failed).into()),
                answer => Ok(answer),
            }
        }
    };
}

asker!(ask_parser, ClientEdge, ClientMessageT);
asker!(ask_crypto, CryptoEdge, CryptoMessageT);
asker!(ask_miner, MinerEdge, MinerMessageT);

/// Takes the expected member out of an answer's union.
macro_rules! expect_answer {
    ($answer:expr, $union:ident :: $member:ident) => {
        match $answer {
            $union::$member(answer) => Ok(*answer),
            // What came instead is not shown: it may be private.
            _ => Err($crate::ClientError::Protocol(
                concat!("expected ", stringify!($member), ", got another message").to_owned(),
            )),
        }
    };
}
pub(crate) use expect_answer;

/// Makes a request that can be repeated, until it succeeds, fails for good, or was tried often
/// enough. A worker that failed is replaced at once the first time, so there is nothing to wait
/// for: the request waits in its mailbox.
pub(crate) async fn repeatedly<T, F>(mut request: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut tries = 1;
    loop {
        let result = request().await;
        let most = match &result {
            Err(ClientError::Worker { transient: true, .. }) => TRIES,
            Err(ClientError::Worker { transient: false, .. }) => TRIES_AT_A_PANIC,
            _ => return result,
        };
        if tries >= most {
            return result;
        }
        tries += 1;
        tracing::debug!(tries, "a worker failed; the request is made again");
    }
}
