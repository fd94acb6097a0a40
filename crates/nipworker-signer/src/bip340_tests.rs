//! The published figures of BIP-340 for 32-byte messages: (secret, aux) where there are, public
//! key, message, signature, whether it is valid.
#![allow(clippy::unwrap_used)]

use nipworker_protocol::{EventId, PublicKey, Signature};

use crate::{SecretKey, verify_one};

const PI: &str = "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89";
const D: &str = "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659";
const S: &str = "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B";
const R: &str = "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769";

fn bytes<const N: usize>(hex_text: &str) -> [u8; N] {
    hex::decode(hex_text).unwrap().try_into().unwrap()
}

fn is_valid(key: &str, message: &str, sig: &str) -> bool {
    verify_one(
        &EventId::from_bytes(bytes(message)),
        &PublicKey::from_bytes(bytes(key)),
        &Signature::from_bytes(bytes(sig)),
    )
}

#[test]
fn signing_gives_the_published_signatures() {
    let zeros = "00".repeat(32);
    let ones = "FF".repeat(32);
    let rows = [
        (
            "0000000000000000000000000000000000000000000000000000000000000003",
            "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
            zeros.as_str(),
            zeros.as_str(),
            "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215\
             25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
        ),
        (
            "B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF",
            D,
            "0000000000000000000000000000000000000000000000000000000000000001",
            PI,
            "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE3341\
             8906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
        ),
        (
            "C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B14E5C9",
            "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
            "C87AA53824B4D7AE2EB035A2B5BBBCCC080E76CDC6D1692C4B0B62D798E6D906",
            "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
            "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1B\
             AB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7",
        ),
        (
            "0B432B2677937381AEF05BB02A66ECD012773062CF3FA2549E44F58ED2401710",
            "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517",
            ones.as_str(),
            ones.as_str(),
            "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC\
             97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3",
        ),
    ];
    for (secret, public, aux, message, sig) in rows {
        let key = SecretKey::parse(secret).unwrap();
        assert_eq!(key.public_key().as_bytes(), &bytes::<32>(public));
        assert_eq!(key.sign(&bytes(message), &bytes(aux)), bytes::<64>(sig));
        assert!(is_valid(public, message, sig));
    }
}

#[test]
fn a_signature_with_a_small_r_is_valid() {
    assert!(is_valid(
        "D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9",
        "4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703",
        "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C63\
         76AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4",
    ));
}

#[test]
fn what_the_proposal_calls_invalid_is_invalid() {
    let zeros = "00".repeat(32);
    let rows = [
        (
            "key off the curve",
            "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34",
            format!("{R}{S}"),
        ),
        (
            "R with an odd y",
            D,
            "FFF97BD5755EEEA420453A14355235D382F6472F8568A18B2F057A1460297556\
             3CC27944640AC607CD107AE10923D9EF7A73C643E166BE5EBEAFA34B1AC553E2"
                .to_owned(),
        ),
        (
            "the message negated",
            D,
            "1FA62E331EDBC21C394792D2AB1100A7B432B013DF3F6FF4F99FCB33E0E1515F\
             28890B3EDB6E7189B630448B515CE4F8622A954CFE545735AAEA5134FCCDB2BD"
                .to_owned(),
        ),
        (
            "s negated",
            D,
            format!("{R}961764B3AA9B2FFCB6EF947B6887A226E8D7C93E00C5ED0C1834FF0D0C2E6DA6"),
        ),
        (
            "R infinite, x as 0",
            D,
            format!("{zeros}123DDA8328AF9C23A94C1FEECFD123BA4FB73476F0D594DCB65C6425BD186051"),
        ),
        (
            "R infinite, x as 1",
            D,
            "0000000000000000000000000000000000000000000000000000000000000001\
             7615FBAF5AE28864013C099742DEADB4DBA87F11AC6754F93780D5A1837CF197"
                .to_owned(),
        ),
        (
            "r off the curve",
            D,
            format!("4A298DACAE57395A15D0795DDBFD1DCB564DA82B0F269BC70A74F8220429BA1D{S}"),
        ),
        (
            "r equal to the field size",
            D,
            format!("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F{S}"),
        ),
        (
            "s equal to the order",
            D,
            format!("{R}FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141"),
        ),
        (
            "key above the field size",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC30",
            format!("{R}{S}"),
        ),
    ];
    for (what, key, sig) in rows {
        assert!(!is_valid(key, PI, &sig), "{what}");
    }
}

proptest::proptest! {
    #[test]
    fn random_bytes_are_never_valid_and_never_panic(
        id: [u8; 32],
        key: [u8; 32],
        r: [u8; 32],
        s: [u8; 32],
    ) {
        let mut sig = [0; 64];
        sig[..32].copy_from_slice(&r);
        sig[32..].copy_from_slice(&s);
        proptest::prop_assert!(!verify_one(
            &EventId::from_bytes(id),
            &PublicKey::from_bytes(key),
            &Signature::from_bytes(sig),
        ));
    }
}
