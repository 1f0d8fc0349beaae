-- The ledger, each row with the charge it belongs to (line_no, by CHARGEID) and
-- with who holds the balance then: 1 the payer, 2 the second payer, p the patient.
SELECT h.*, max(CASE WHEN h.type IN ('CHARGE', 'TRANSFERIN') THEN h.transfertype END)
              OVER (PARTITION BY h.patientid, h.claimid, h.held) AS holder
FROM (SELECT x.claimid, x.patientid, x.type, x.method, x.transfertype, x.procedurecode, x.notes, x.appointmentid,
             CAST(x.amount AS DECIMAL(18,2)) AS amount, CAST(x.unitamount AS DECIMAL(18,2)) AS unitamount, CAST(x.units AS INTEGER) AS units,
             CAST(x.payments AS DECIMAL(18,2)) AS payments, CAST(x.transfers AS DECIMAL(18,2)) AS transfers,
             CAST(x.fromdate AS TIMESTAMPTZ) AS fromdate, CAST(x.todate AS TIMESTAMPTZ) AS todate,
             CAST(x.diagnosisref1 AS INTEGER) AS ref1, CAST(x.diagnosisref2 AS INTEGER) AS ref2,
             CAST(x.diagnosisref3 AS INTEGER) AS ref3, CAST(x.diagnosisref4 AS INTEGER) AS ref4,
             CAST(sum(CASE WHEN x.type = 'CHARGE' THEN 1 ELSE 0 END)
               OVER (PARTITION BY x.patientid, x.claimid ORDER BY CAST(x.chargeid AS INTEGER), x.id) AS INTEGER) AS line_no,
             sum(CASE WHEN x.type IN ('CHARGE', 'TRANSFERIN') THEN 1 ELSE 0 END)
               OVER (PARTITION BY x.patientid, x.claimid ORDER BY CAST(x.chargeid AS INTEGER), x.id) AS held
      FROM synthea.claims_transactions x) h
