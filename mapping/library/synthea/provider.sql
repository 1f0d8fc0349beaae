SELECT v.id, v.name, v.gender, v.organization, v.address, v.city, v.state, v.zip,
       split_part(v.name, ' ', 1) AS given, nullif(split_part(v.name, ' ', 2), '') AS family
FROM synthea.providers v
WHERE v.id IN (SELECT n.id FROM named_provider n)
