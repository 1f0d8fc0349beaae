SELECT b.bene_sk, unnest(CAST(b.mbi AS JSON[])) AS mbi
FROM flat.beneficiary b
