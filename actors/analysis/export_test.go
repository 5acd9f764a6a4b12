package analysis

// For the tests that read the golden files through package barfile.
var (
	GoldenSymbols = goldenSymbols
	GoldenDir     = goldenDir
	GoldenBars    = goldenBars
	FileSymbol    = fileSymbol
	DiffGolden    = diffGolden
)
