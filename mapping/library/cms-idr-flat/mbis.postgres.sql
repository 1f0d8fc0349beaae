SELECT b.bene_sk, e.mbi
FROM flat.beneficiary b
CROSS JOIN LATERAL json_array_elements(CAST(b.mbi AS JSON)) AS e(mbi)
