SELECT p.claimid AS id, p.patientid, p.line_no,
       max(CASE WHEN p.type = 'CHARGE' THEN p.procedurecode END) AS code,
       max(CASE WHEN p.type = 'CHARGE' THEN p.notes END) AS notes,
       max(CASE WHEN p.type = 'CHARGE' THEN CASE WHEN m.code IS NOT NULL THEN 'rxnorm' WHEN i.code IS NOT NULL THEN 'cvx' ELSE 'sct' END END) AS code_system,
       sum(CASE WHEN p.type = 'CHARGE' THEN p.amount END) AS amount,
       max(CASE WHEN p.type = 'CHARGE' THEN p.unitamount END) AS unitamount,
       max(CASE WHEN p.type = 'CHARGE' THEN p.units END) AS units,
       max(CASE WHEN p.type = 'CHARGE' THEN p.fromdate END) AS fromdate,
       max(CASE WHEN p.type = 'CHARGE' AND p.todate >= p.fromdate THEN p.todate END) AS todate,
       max(CASE WHEN p.type = 'CHARGE' THEN p.ref1 END) AS ref1, max(CASE WHEN p.type = 'CHARGE' THEN p.ref2 END) AS ref2,
       max(CASE WHEN p.type = 'CHARGE' THEN p.ref3 END) AS ref3, max(CASE WHEN p.type = 'CHARGE' THEN p.ref4 END) AS ref4,
       sum(CASE WHEN p.type = 'PAYMENT' AND p.holder = '1' AND p.method <> 'COPAY' THEN p.payments END) AS paid1,
       sum(CASE WHEN p.type = 'PAYMENT' AND p.holder = '2' AND p.method <> 'COPAY' THEN p.payments END) AS paid2,
       sum(CASE WHEN p.type = 'PAYMENT' AND (p.holder = 'p' OR p.method = 'COPAY') THEN p.payments END) AS paidp,
       max(CASE WHEN p.type = 'PAYMENT' THEN p.fromdate END) AS last_paid
FROM posting p
LEFT JOIN (SELECT DISTINCT x.encounter, x.code FROM synthea.medications x) m ON m.encounter = p.appointmentid AND m.code = p.procedurecode
LEFT JOIN (SELECT DISTINCT x.encounter, x.code FROM synthea.immunizations x) i ON i.encounter = p.appointmentid AND i.code = p.procedurecode
WHERE p.line_no > 0
GROUP BY p.claimid, p.patientid, p.line_no
