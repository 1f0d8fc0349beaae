-- Members are those of the table and those whom only a claim names. Each line may
-- have a diagnosis; amounts are rounded to cents claim by claim.
SELECT m.member, coalesce(c.claims, 0) AS claims, coalesce(l.lines, 0) AS lines, coalesce(l.diagnoses, 0) AS diagnoses,
       coalesce(c.charge, 0) AS charge, coalesce(c.paid, 0) AS paid
FROM (SELECT member_id AS member FROM cpcds.patients UNION SELECT patient_account_number FROM cpcds.claims) m
LEFT JOIN (SELECT patient_account_number, count(*) AS claims, sum(charge) AS charge, sum(paid) AS paid
           FROM (SELECT patient_account_number, claim_unique_identifier,
                        round(CAST(max(claim_total_submitted_amount) AS DECIMAL(28,15)), 2) AS charge,
                        round(CAST(max(claim_payment_amount) AS DECIMAL(28,15)), 2) AS paid
                 FROM cpcds.claims GROUP BY patient_account_number, claim_unique_identifier) x
           GROUP BY patient_account_number) c ON c.patient_account_number = m.member
LEFT JOIN (SELECT patient_account_number, count(*) AS lines, count(diagnosis_code) AS diagnoses FROM cpcds.claims GROUP BY patient_account_number) l ON l.patient_account_number = m.member
