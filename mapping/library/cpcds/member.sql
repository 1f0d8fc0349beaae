-- One row a member. A claim of an account that no member has makes one of whom
-- nothing else is known, so that the claim is not lost.
SELECT p.member_id, CAST(substr(CAST(p.date_of_birth AS VARCHAR), 1, 10) AS DATE) AS date_of_birth,
       CAST(nullif(substr(CAST(p.date_of_death AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS date_of_death,
       p.home_county, p.home_state, p.home_country, p.home_zip_code, p.bill_county, p.bill_state, p.bill_country, p.bill_zip_code,
       p.work_county, p.work_state, p.work_country, p.work_zip_code, p.race_code, p.ethnicity, p.gender_code, p.birth_sex, p.name,
       CASE WHEN strpos(p.name, ' ') > 0 THEN left(p.name, length(p.name) - strpos(reverse(p.name), ' ')) END AS given_name,
       CASE WHEN strpos(p.name, ' ') > 0 THEN right(p.name, strpos(reverse(p.name), ' ') - 1) ELSE p.name END AS family_name
FROM cpcds.patients p
UNION ALL
SELECT DISTINCT c.patient_account_number, CAST(NULL AS DATE), CAST(NULL AS DATE), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM cpcds.claims c
WHERE NOT EXISTS (SELECT 1 FROM cpcds.patients q WHERE q.member_id = c.patient_account_number)
