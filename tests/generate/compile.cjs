// Compiles TypeScript as strictly as it goes, into a folder, and says what it thinks of it.
//
// node compile.cjs TYPESCRIPT FOLDER FILE… prints {complaints: [text…], code: [text…]}. The latter
// is what the part of a client that was made from a description does beyond declaring types and
// calling its link.
const path = require("node:path");
const [library, folder, ...files] = process.argv.slice(2);
const ts = require(path.join(library, "lib", "typescript.js"));

const program = ts.createProgram(files, {
  strict: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ES2022,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: [],
  skipLibCheck: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  erasableSyntaxOnly: true,
  outDir: folder,
});
const { diagnostics } = program.emit();

const complaints = [...ts.getPreEmitDiagnostics(program), ...diagnostics].map((each) => {
  const { line } = each.file?.getLineAndCharacterOfPosition(each.start) ?? { line: -1 };
  return `${each.file?.fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(each.messageText, " ")}`;
});

const { SyntaxKind } = ts;
const TOP = [SyntaxKind.InterfaceDeclaration, SyntaxKind.TypeAliasDeclaration, SyntaxKind.ClassDeclaration];
const CALLED = /^(this\.link\.(call|stream|notify)|positional|DeviceEvent)$/;
const DONE = [
  ...[SyntaxKind.Block, SyntaxKind.ReturnStatement, SyntaxKind.ExpressionStatement],
  ...[SyntaxKind.BinaryExpression, SyntaxKind.EqualsToken, SyntaxKind.QuestionQuestionToken],
  ...[SyntaxKind.CallExpression, SyntaxKind.NewExpression, SyntaxKind.PropertyAccessExpression],
  ...[SyntaxKind.ArrayLiteralExpression, SyntaxKind.ObjectLiteralExpression, SyntaxKind.StringLiteral],
  ...[SyntaxKind.NumericLiteral, SyntaxKind.Identifier, SyntaxKind.ThisKeyword],
];
const code = [];

function look(node) {
  const isCall = ts.isCallExpression(node) || ts.isNewExpression(node);
  const isCode = isCall ? !CALLED.test(node.expression.getText()) : !DONE.includes(node.kind);
  if (isCode) code.push(`${node.getSourceFile().fileName}: ${node.getText()}`);
  node.forEachChild(look);
}

for (const file of files) {
  const source = program.getSourceFile(file);
  const end = source.text.indexOf("// From here on");
  for (const statement of source.statements.filter((each) => each.getStart() < end)) {
    if (!TOP.includes(statement.kind)) code.push(`${file}: ${statement.getText()}`);
    if (ts.isClassDeclaration(statement)) {
      for (const member of statement.members) if (member.body) look(member.body);
    }
  }
}

console.log(JSON.stringify({ complaints, code }));
