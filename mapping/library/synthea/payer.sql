SELECT y.id, y.name, y.address, y.city, y.state_headquartered, y.zip, y.phone, m.member_count
FROM synthea.payers y
LEFT JOIN (SELECT s.payer, count(DISTINCT s.patient) AS member_count FROM insured s GROUP BY s.payer) m ON m.payer = y.id
WHERE y.name <> 'NO_INSURANCE'
