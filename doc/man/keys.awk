# Makes entries of a man page of what --config-help prints: a table, its columns where the titles are.
function field(n) { s = substr($0, at[n], at[n + 1] - at[n]); sub(/ +$/, "", s); gsub(/\\/, "\\e", s); return s }
NR == 1 {
	n = split("KEY TYPE DEFAULT RANGE CHANGES MEANING", title, " ")
	for (i = 1; i <= n; i++)
		at[i] = index($0, title[i])
	at[n + 1] = 10000
	next
}
{
	key = field(1); type = field(2); value = field(3); range = field(4); changes = field(5); meaning = field(6)
	gsub(/-/, "\\-", value)
	print ".TP\n\\fB" key "\\fR (" type (value == "required" ? ", required" : value == "\\-" || value == "" ? "" : ", default " value) (changes == "restart" ? ", restart)" : ")")
	if (substr(meaning, 1, 1) ~ /[.\x27]/)
		meaning = "\\&" meaning
	print meaning (range == "" || range ~ /^true, false$/ ? "" : meaning == "" ? range : " (" range ")")
}
