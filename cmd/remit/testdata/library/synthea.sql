SELECT p.id AS member, count(*) AS claims, coalesce(sum(l.lines), 0) AS lines, coalesce(sum(d.diagnoses), 0) AS diagnoses,
       coalesce(sum(l.charge), 0) AS charge, coalesce(sum(l.paid), 0) AS paid
FROM synthea.patients p
JOIN synthea.claims c ON c.patientid = p.id AND c.primarypatientinsuranceid <> '0'
LEFT JOIN (SELECT x.id, (CASE WHEN x.diagnosis1 IS NULL THEN 0 ELSE 1 END + CASE WHEN x.diagnosis2 IS NULL THEN 0 ELSE 1 END
         + CASE WHEN x.diagnosis3 IS NULL THEN 0 ELSE 1 END + CASE WHEN x.diagnosis4 IS NULL THEN 0 ELSE 1 END
         + CASE WHEN x.diagnosis5 IS NULL THEN 0 ELSE 1 END + CASE WHEN x.diagnosis6 IS NULL THEN 0 ELSE 1 END
         + CASE WHEN x.diagnosis7 IS NULL THEN 0 ELSE 1 END + CASE WHEN x.diagnosis8 IS NULL THEN 0 ELSE 1 END) AS diagnoses
      FROM synthea.claims x) d ON d.id = c.id
LEFT JOIN (SELECT t.claimid, sum(CASE WHEN t.type = 'CHARGE' THEN 1 ELSE 0 END) AS lines, sum(CASE WHEN t.type = 'CHARGE' THEN CAST(t.amount AS DECIMAL(18,2)) END) AS charge,
             sum(CASE WHEN t.type = 'PAYMENT' THEN CAST(t.payments AS DECIMAL(18,2)) END) AS paid
      FROM synthea.claims_transactions t GROUP BY t.claimid) l ON l.claimid = c.id
GROUP BY p.id
