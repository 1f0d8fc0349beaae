SELECT s.payer AS id, s.patient FROM insured s
UNION ALL
SELECT c.primarypatientinsuranceid, c.patientid FROM synthea.claims c
UNION ALL
SELECT c.secondarypatientinsuranceid, c.patientid FROM synthea.claims c
UNION ALL
SELECT y.id, NULL FROM synthea.payers y
