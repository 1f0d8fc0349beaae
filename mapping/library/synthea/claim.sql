SELECT c.id, c.patientid, c.providerid, nullif(c.referringproviderid, '0') AS referring, nullif(c.supervisingproviderid, '0') AS supervising, c.status1,
       c.diagnosis1, c.diagnosis2, c.diagnosis3, c.diagnosis4, c.diagnosis5, c.diagnosis6, c.diagnosis7, c.diagnosis8,
       CAST(c.servicedate AS TIMESTAMPTZ) AS servicedate, CAST(c.lastbilleddate1 AS TIMESTAMPTZ) AS billed_at, c.appointmentid,
       CAST(e.start AS TIMESTAMPTZ) AS enc_start, CAST(e.stop AS TIMESTAMPTZ) AS enc_stop, e.encounterclass, e.organization,
       nullif(c.primarypatientinsuranceid, '0') AS payer1, nullif(c.secondarypatientinsuranceid, '0') AS payer2,
       CASE WHEN b.drugs > 0 THEN 'pharmacy'
            WHEN e.encounterclass IN ('inpatient', 'snf', 'hospice') THEN 'inpatient'
            WHEN e.encounterclass IN ('emergency', 'outpatient') THEN 'outpatient'
            ELSE 'professional' END AS kind,
       s1.starts AS span1, s1.rank AS rank1, s2.starts AS span2, s2.rank AS rank2,
       b.charged, CAST(coalesce(b.paid1, 0) + coalesce(b.paid2, 0) AS DECIMAL(18,2)) AS paid_by_payers, b.paidp, b.last_paid,
       greatest(CAST(c.lastbilleddate1 AS TIMESTAMPTZ), CAST(c.lastbilleddate2 AS TIMESTAMPTZ), CAST(c.lastbilleddatep AS TIMESTAMPTZ), b.last_paid) AS updated
FROM synthea.claims c
JOIN synthea.encounters e ON e.id = c.appointmentid
LEFT JOIN (SELECT x.id, x.patientid, sum(CASE WHEN x.code_system = 'rxnorm' THEN 1 ELSE 0 END) AS drugs, sum(x.amount) AS charged,
                  sum(x.paid1) AS paid1, sum(x.paid2) AS paid2, sum(x.paidp) AS paidp, max(x.last_paid) AS last_paid
           FROM billed x GROUP BY x.id, x.patientid) b ON b.id = c.id AND b.patientid = c.patientid
LEFT JOIN insured s1 ON s1.patient = c.patientid AND s1.payer = c.primarypatientinsuranceid AND s1.rank = 1
  AND CAST(c.servicedate AS TIMESTAMPTZ) >= s1.starts AND CAST(c.servicedate AS TIMESTAMPTZ) < s1.upto
LEFT JOIN insured s2 ON s2.patient = c.patientid AND s2.payer = c.secondarypatientinsuranceid AND s2.rank = 2
  AND CAST(c.servicedate AS TIMESTAMPTZ) >= s2.starts AND CAST(c.servicedate AS TIMESTAMPTZ) < s2.upto
