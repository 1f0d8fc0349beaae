-- Without the ledger: the first claim of an encounter, in the order of the file,
-- bills the encounter, its procedures and its vaccines; those that follow bill
-- its medications, one each and in their order.
SELECT c.id, c.patientid, CAST(l.line_no AS INTEGER) AS line_no, l.code, l.notes, l.code_system, l.amount, l.amount AS unitamount, 1 AS units,
       l.fromdate, l.todate, 1 AS ref1, CAST(NULL AS INTEGER) AS ref2, CAST(NULL AS INTEGER) AS ref3, CAST(NULL AS INTEGER) AS ref4,
       l.paid AS paid1, CAST(NULL AS DECIMAL(18,2)) AS paid2, CAST(NULL AS DECIMAL(18,2)) AS paidp, CAST(NULL AS TIMESTAMPTZ) AS last_paid
FROM (SELECT x.id, x.patientid, x.appointmentid, row_number() OVER (PARTITION BY x.appointmentid ORDER BY x.row_no) - 1 AS place
      FROM synthea.claims x) c
JOIN (SELECT b.*, row_number() OVER (PARTITION BY b.encounter, b.place ORDER BY b.kind, b.fromdate, b.code, b.amount) AS line_no
      FROM (SELECT e.id AS encounter, 0 AS place, 1 AS kind, e.code, e.description AS notes, 'sct' AS code_system, CAST(e.base_encounter_cost AS DECIMAL(18,2)) AS amount,
                   CAST(NULL AS DECIMAL(18,2)) AS paid, CAST(e.start AS TIMESTAMPTZ) AS fromdate, CAST(e.stop AS TIMESTAMPTZ) AS todate
            FROM synthea.encounters e
            UNION ALL
            SELECT p.encounter, 0, 2, p.code, p.description, 'sct', CAST(p.base_cost AS DECIMAL(18,2)), CAST(NULL AS DECIMAL(18,2)), CAST(p.start AS TIMESTAMPTZ), CAST(p.stop AS TIMESTAMPTZ)
            FROM synthea.procedures p
            UNION ALL
            SELECT i.encounter, 0, 3, i.code, i.description, 'cvx', CAST(i.base_cost AS DECIMAL(18,2)), CAST(NULL AS DECIMAL(18,2)), CAST(i.date AS TIMESTAMPTZ), CAST(NULL AS TIMESTAMPTZ)
            FROM synthea.immunizations i
            UNION ALL
            SELECT m.encounter, row_number() OVER (PARTITION BY m.encounter ORDER BY m.row_no), 4, m.code, m.description, 'rxnorm',
                   CAST(m.base_cost AS DECIMAL(18,2)), CAST(m.payer_coverage AS DECIMAL(18,2)), CAST(m.start AS TIMESTAMPTZ), CAST(NULL AS TIMESTAMPTZ)
            FROM synthea.medications m) b) l ON l.encounter = c.appointmentid AND l.place = c.place
