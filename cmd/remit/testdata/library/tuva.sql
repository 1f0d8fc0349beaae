SELECT e.patient_id AS member,
       coalesce(m.claims, 0) + coalesce(r.claims, 0) AS claims,
       coalesce(m.lines, 0) + coalesce(r.lines, 0) AS lines,
       coalesce(d.diagnoses, 0) AS diagnoses,
       coalesce(m.charge, 0) AS charge,
       coalesce(m.paid, 0) + coalesce(r.paid, 0) AS paid
FROM (SELECT DISTINCT patient_id FROM tuva.eligibility) e
LEFT JOIN (SELECT patient_id, count(DISTINCT claim_id) AS claims, count(*) AS lines, sum(charge_amount) AS charge, sum(paid_amount) AS paid
           FROM tuva.medical_claim GROUP BY patient_id) m ON m.patient_id = e.patient_id
LEFT JOIN (SELECT patient_id, count(DISTINCT claim_id) AS claims, count(*) AS lines, sum(round(paid_amount, 2)) AS paid
           FROM tuva.pharmacy_claim GROUP BY patient_id) r ON r.patient_id = e.patient_id
LEFT JOIN (SELECT patient_id, count(*) AS diagnoses
           FROM (SELECT DISTINCT patient_id, claim_id, v.n, v.code FROM tuva.medical_claim
                 CROSS JOIN LATERAL (VALUES (1, diagnosis_code_1), (2, diagnosis_code_2), (3, diagnosis_code_3), (4, diagnosis_code_4), (5, diagnosis_code_5),
                   (6, diagnosis_code_6), (7, diagnosis_code_7), (8, diagnosis_code_8), (9, diagnosis_code_9), (10, diagnosis_code_10), (11, diagnosis_code_11),
                   (12, diagnosis_code_12), (13, diagnosis_code_13), (14, diagnosis_code_14), (15, diagnosis_code_15), (16, diagnosis_code_16),
                   (17, diagnosis_code_17), (18, diagnosis_code_18), (19, diagnosis_code_19), (20, diagnosis_code_20), (21, diagnosis_code_21),
                   (22, diagnosis_code_22), (23, diagnosis_code_23), (24, diagnosis_code_24), (25, diagnosis_code_25)) AS v(n, code)
                 WHERE v.code IS NOT NULL) x
           GROUP BY patient_id) d ON d.patient_id = e.patient_id
