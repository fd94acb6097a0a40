//! Signatures that tell relays who we are.

use nipworker_relay::{AuthProblem, Event, PublicKey, SignFailure, SignTemplate, Tag};
use nipworker_schema::{CryptoEdge, CryptoMessageT, FailureCode, SignAsT, TagT};
use nipworker_supervision::{AskError, Recipient};

/// Asks for a signature; waits as long as the crypto worker does.
pub(crate) async fn sign(
    crypto: Recipient<CryptoEdge>,
    key: Option<PublicKey>,
    template: SignTemplate,
) -> Result<Event, SignFailure> {
    let SignTemplate { created_at, kind, tags, content } = template;
    let request = SignAsT {
        pubkey: key.map(Into::into),
        created_at,
        kind,
        tags: tags.into_iter().map(|Tag(values)| TagT { values }).collect(),
        content,
    };
    let answer = match crypto.ask(CryptoEdge::encode(request)).await {
        Ok(answer) => answer,
        Err(error) => return Err(unanswered(&error)),
    };
    match answer.decode() {
        Ok(CryptoMessageT::Signed(signed)) => Ok((*signed.event).into()),
        Ok(CryptoMessageT::Failed(failed)) => {
            tracing::debug!(reason = %failed.reason, "no signature for a relay");
            Err(refused(failed.code, failed.transient))
        }
        _ => Err(SignFailure { problem: AuthProblem::SignerFailed, is_transient: false }),
    }
}

fn unanswered(error: &AskError) -> SignFailure {
    tracing::debug!(%error, "no signature for a relay");
    let is_transient = !matches!(error, AskError::Closed);
    SignFailure { problem: AuthProblem::SignerFailed, is_transient }
}

fn refused(code: FailureCode, is_transient: bool) -> SignFailure {
    let problem = match code {
        FailureCode::NotFound => AuthProblem::NoSigner,
        FailureCode::Denied => AuthProblem::SignerRefused,
        FailureCode::Timeout => AuthProblem::SignerTooSlow,
        _ => AuthProblem::SignerFailed,
    };
    // A signer that was too slow once is not asked again at once: a person may be behind it.
    SignFailure { problem, is_transient: is_transient && problem == AuthProblem::SignerFailed }
}
