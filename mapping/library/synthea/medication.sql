-- Two orders of one drug may begin at one instant; they are told apart by all
-- else that is known of them.
SELECT m.patient, m.encounter, m.code, m.description, m.reasoncode, m.reasondescription, e.provider,
       CAST(m.start AS TIMESTAMPTZ) AS authored, CAST(m.stop AS TIMESTAMPTZ) AS stopped, m.dispenses,
       CAST(row_number() OVER (PARTITION BY m.patient, m.encounter, m.code, m.start
         ORDER BY m.stop, m.reasoncode, m.base_cost, m.dispenses, m.totalcost, m.payer_coverage, m.description) AS INTEGER) AS ordinal
FROM synthea.medications m
JOIN synthea.encounters e ON e.id = m.encounter
